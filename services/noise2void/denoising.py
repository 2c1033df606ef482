# SPDX-License-Identifier: BSD-3-Clause
"""Denoises images with the library's model: means and standard deviations of the training before and after."""

from __future__ import annotations

from pathlib import Path
from typing import Any, List, Mapping, Optional

import numpy as np
from intensities import moments_of

from dl4mic_keras.image_to_image import ImageToImage
from dl4mic_sdk.images import Image
from dl4mic_sdk.tiled_prediction import AnyImage


class Denoiser:
    """A trained model at work.

    Parameters
    ----------
    model
        Of `library.network_of`, its weights loaded.
    parameters
        Of the job: ``tile``, ``tile_overlap``.
    """

    def __init__(self, model: Any, parameters: Mapping[str, Any]) -> None:
        self._model = ImageToImage(model, parameters)
        self._means, self._stds = moments_of(model.config)

    def denoise(self, image: AnyImage, scratch: Optional[Path] = None) -> AnyImage:
        """Denoise an image or stack, perhaps with channels.

        Parameters
        ----------
        image
            In memory or on disk.
        scratch
            Folder for the result of an image on disk.

        Returns
        -------
        Image or ImageOnDisk
            float32, of the axes and in the intensities of the image.

        Raises
        ------
        SdkError
            It has not as many channels as the model takes.
        """
        (denoised,) = self._model.apply(self._denoised, image, scratch)
        return denoised

    def denoise_series(self, series: Image) -> Image:
        """Denoise each time point of a series in memory by itself."""
        at, axes = series.axes.index("T"), series.axes.replace("T", "")
        frames = [Image(each, axes) for each in np.moveaxis(series.pixels, at, 0)]
        found = [self._model.apply(self._denoised, each)[0].pixels for each in frames]
        return series.with_pixels(np.stack(found, at))

    def _denoised(self, pixels: np.ndarray) -> List[np.ndarray]:
        """Denoise ([z,] y, x, channels), as the library's `predict` does."""
        normalised = (pixels.astype(np.float32) - self._means) / self._stds
        return [self._model.answer(normalised) * self._stds + self._means]
