# SPDX-License-Identifier: BSD-3-Clause
"""Restores images with the library's model: percentiles before and after, as csbdeep has them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, List, Mapping, Optional, Sequence

import numpy as np

from dl4mic_keras.image_to_image import ImageToImage
from dl4mic_sdk.images import Image
from dl4mic_sdk.normalisation import Limits, Normalisation, scale
from dl4mic_sdk.tiled_prediction import AnyImage


class Restorer:
    """A trained model at work.

    Parameters
    ----------
    model
        Of the library.
    parameters
        Of the job: ``tile``, ``tile_overlap``.
    normalisation
        As the model was validated with.
    """

    def __init__(
        self, model: Any, parameters: Mapping[str, Any], normalisation: Normalisation
    ) -> None:
        self._model = ImageToImage(model, parameters)
        self._normalisation = normalisation

    @property
    def keeps_intensities(self) -> bool:
        """Whether results are in the intensities of their images: a percentile is given back to its own channel."""
        config = self._model.config
        return bool(config.n_channel_in == config.n_channel_out)

    def restore(self, image: AnyImage, scratch: Optional[Path] = None) -> List[AnyImage]:
        """Restore an image or stack, perhaps with channels.

        Parameters
        ----------
        image
            In memory or on disk.
        scratch
            Folder for the results of an image on disk.

        Returns
        -------
        list of Image or ImageOnDisk
            float32: the restored image, in the intensities of the image if the model `keeps_intensities`, else
            normalised; and of a probabilistic model the scale of the Laplace distribution of each pixel beside.

        Raises
        ------
        SdkError
            It has not as many channels as the model takes.
        """
        limits = self._limits(image)
        return self._model.apply(lambda tile: self._restored(tile, limits), image, scratch)

    def _limits(self, image: AnyImage) -> Limits:
        if isinstance(image, Image):
            return self._normalisation.limits_by_channel(image)
        return self._normalisation.limits_on_disk(image)

    def _restored(self, tile: np.ndarray, limits: Limits) -> Sequence[np.ndarray]:
        """Restore ([z,] y, x, channels), and bring it back as csbdeep's `PercentileNormalizer` does."""
        config, predicted = self._model.config, self._model.answer(scale(tile, limits))
        count = config.n_channel_out
        if self.keeps_intensities:
            low, high = np.float32(limits[0]), np.float32(limits[1])
            predicted *= np.tile(np.broadcast_to(high - low, count), predicted.shape[-1] // count)
            predicted[..., :count] += low
        mean, deviation = predicted[..., :count], predicted[..., count:]
        return (mean, deviation) if config.probabilistic else (mean,)
