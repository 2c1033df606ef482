# SPDX-License-Identifier: BSD-3-Clause
"""A trained U-Net that makes images of images of any size, tile by tile where they are large."""

from __future__ import annotations

from pathlib import Path
from typing import Any, List, Mapping, Optional, Sequence

import numpy as np

from dl4mic_keras import unet
from dl4mic_keras.framework import tf
from dl4mic_sdk.errors import SdkError
from dl4mic_sdk.images import Image
from dl4mic_sdk.tiled_prediction import AnyImage, Kernel, predict_tiled, tile_that_fits

_LIVE_LAYERS = 5
"""How many layers of the first level's width are in memory at once; batch normalisation holds one more."""


class ImageToImage:
    """A model of csbdeep, or of a library built on it, at work.

    Parameters
    ----------
    model
        Of the library: ``keras_model`` and ``config``.
    parameters
        Of the job: ``tile``, ``tile_overlap``.
    """

    def __init__(self, model: Any, parameters: Mapping[str, Any]) -> None:
        self.config = model.config
        self._tile, self._overlap = parameters.get("tile"), parameters.get("tile_overlap")
        shape = (None,) * (self.config.n_dim + 1) + (self.config.n_channel_in,)
        self._call = tf.function(
            lambda pixels: model.keras_model(pixels, training=False),
            input_signature=[tf.TensorSpec(shape, tf.float32)],
        )

    def answer(self, normalised: np.ndarray) -> np.ndarray:
        """Return what the network makes of ([z,] y, x, channels), float32."""
        predicted: np.ndarray = self._call(normalised[np.newaxis]).numpy()[0]
        return predicted

    def apply(
        self, kernel: Kernel, image: AnyImage, scratch: Optional[Path] = None
    ) -> List[AnyImage]:
        """Apply a kernel that normalises and asks `answer` to an image or stack.

        Parameters
        ----------
        kernel, image, scratch
            As of `predict_tiled`.

        Returns
        -------
        list of Image or ImageOnDisk
            As of `predict_tiled`. The result is that of the whole image, unless ``tile_overlap`` is less.

        Raises
        ------
        SdkError
            The image has not as many channels as the model takes.
        """
        shape = image.pixels.shape if isinstance(image, Image) else image.shape
        self._refuse_channels(image.axes, shape)
        spatial = [size for axis, size in zip(image.axes, shape) if axis != "C"]
        steps, seen = unet.divisor(self.config), [unet.context(self.config)] * len(spatial)
        given = self._overlap
        overlap = [2 * each if given is None else int(given) for each in seen]
        tile = self._tile or tile_that_fits(spatial, self._bytes_per_pixel(), steps, overlap)
        context = seen if given is None else None
        return predict_tiled(kernel, image, tile, overlap, steps, context, scratch)

    def _bytes_per_pixel(self) -> float:
        layers = _LIVE_LAYERS + bool(getattr(self.config, "batch_norm", False))
        return float(4 * layers * self.config.unet_n_first)

    def _refuse_channels(self, axes: str, shape: Sequence[int]) -> None:
        has, takes = dict(zip(axes, shape)).get("C", 1), self.config.n_channel_in
        if has != takes:
            if takes == 1:
                hint = "Choose one with channel=0 to channel={}.".format(has - 1)
            else:
                wanted = "Give images of {} channels, or choose a model of as many as these have."
                hint = wanted.format(takes)
            said = "has {} channel{}, but the model takes {}"
            raise SdkError(said.format(has, "" if has == 1 else "s", takes), hint)
