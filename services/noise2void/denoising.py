# SPDX-License-Identifier: BSD-3-Clause
"""Denoises images with the library's model, its call compiled once for all image sizes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, List, Mapping, Optional, Sequence

import architecture
import numpy as np
from intensities import moments_of

from dl4mic_keras.framework import tf
from dl4mic_sdk.errors import SdkError
from dl4mic_sdk.images import Image
from dl4mic_sdk.tiled_prediction import AnyImage, predict_tiled, tile_that_fits

_LIVE_LAYERS = 6
"""How many layers of the base width are in memory at once."""


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
        self._config = model.config
        self._means, self._stds = moments_of(model.config)
        self._tile, self._overlap = parameters.get("tile"), parameters.get("tile_overlap")
        shape = (None,) * (model.config.n_dim + 1) + (model.config.n_channel_in,)
        self._call = tf.function(
            lambda pixels: model.keras_model(pixels, training=False),
            input_signature=[tf.TensorSpec(shape, tf.float32)],
        )

    def denoise(self, image: AnyImage, scratch: Optional[Path] = None) -> AnyImage:
        """Denoise an image, a stack, or each time point of a series.

        Parameters
        ----------
        image
            In memory; on disk unless it is a series.
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
        shape = image.pixels.shape if isinstance(image, Image) else image.shape
        self._refuse_channels(image.axes, shape)
        if isinstance(image, Image) and "T" in image.axes:
            return self._series(image)
        spatial = [size for axis, size in zip(image.axes, shape) if axis != "C"]
        steps = (2 ** int(self._config.unet_n_depth),) * len(spatial)
        seen = (architecture.context(self._config),) * len(spatial)
        given = self._overlap
        overlap = [2 * each if given is None else int(given) for each in seen]
        (denoised,) = predict_tiled(
            self._kernel,
            image,
            self._tile or tile_that_fits(spatial, self._bytes_per_pixel(), steps, overlap),
            overlap,
            steps,
            seen if given is None else None,
            scratch,
        )
        return denoised

    def _series(self, image: Image) -> Image:
        at = image.axes.index("T")
        axes = image.axes.replace("T", "")
        frames = [self.denoise(Image(each, axes)) for each in np.moveaxis(image.pixels, at, 0)]
        return image.with_pixels(np.stack([each.pixels for each in frames], at))  # type: ignore[union-attr]

    def _kernel(self, pixels: np.ndarray) -> List[np.ndarray]:
        """Denoise ([z,] y, x, channels), as the library's `predict` does."""
        normalised = (pixels.astype(np.float32) - self._means) / self._stds
        predicted = self._call(normalised[np.newaxis]).numpy()[0]
        return [predicted * self._stds + self._means]

    def _bytes_per_pixel(self) -> float:
        return float(4 * _LIVE_LAYERS * self._config.unet_n_first)

    def _refuse_channels(self, axes: str, shape: Sequence[int]) -> None:
        has, takes = dict(zip(axes, shape)).get("C", 1), len(self._means)
        if has != takes:
            raise SdkError(f"has {has} channels, but the model takes {takes}")
