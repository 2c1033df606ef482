# SPDX-License-Identifier: BSD-3-Clause
"""Restores images with the library's model, tile by tile where they are large, its call compiled."""

from __future__ import annotations

from pathlib import Path
from typing import Any, List, Mapping, Optional, Sequence

import architecture
import numpy as np
from framework import CARE

from dl4mic_keras.framework import quiet, tf
from dl4mic_sdk.errors import ModelError, SdkError
from dl4mic_sdk.images import Image
from dl4mic_sdk.normalisation import Limits, Normalisation, scale
from dl4mic_sdk.task import ModelFolder
from dl4mic_sdk.tiled_prediction import AnyImage, predict_tiled, tile_that_fits
from dl4mic_sdk.training import weights_path

_LIVE_LAYERS = 5
"""How many layers of the first level's width are in memory at once."""


def open_model(model: ModelFolder, dimensions: int) -> Any:
    """Load a model of the library with the weights that were asked for.

    Raises
    ------
    ModelError
        The folder lacks those weights, or they cannot be read.
    """
    weights = weights_path(model.path, model.weights, ".h5")
    if not weights.exists():
        there = ", ".join(sorted(each.name for each in model.path.glob("weights_*.h5"))) or "none"
        raise ModelError(
            f"model {model.name} has no {weights.name}",
            f"Ask for other weights; there are: {there}.",
        )
    try:
        with quiet():
            opened = CARE(architecture.inherited(model, dimensions), basedir=None)
            opened.keras_model.load_weights(str(weights))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"model {model.name} cannot be read: {error}") from error
    return opened


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
        self._config = model.config
        self._normalisation = normalisation
        self._tile = parameters.get("tile")
        self._overlap = parameters.get("tile_overlap")
        shape = (None,) * (model.config.n_dim + 1) + (model.config.n_channel_in,)
        self._call = tf.function(
            lambda pixels: model.keras_model(pixels, training=False),
            input_signature=[tf.TensorSpec(shape, tf.float32)],
        )

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
            float32: the restored image, in the intensities of the image if it has as many channels as that, else
            normalised; and of a probabilistic model the scale of the Laplace distribution of each pixel beside.

        Raises
        ------
        SdkError
            It has not as many channels as the model takes.
        """
        shape = image.pixels.shape if isinstance(image, Image) else image.shape
        self._refuse_channels(image.axes, shape)
        limits = self._limits(image)
        spatial = [size for axis, size in zip(image.axes, shape) if axis != "C"]
        step, overlaps = architecture.divisor(self._config), self._overlaps()
        return predict_tiled(
            lambda tile: self._restored(tile, limits),
            image,
            self._tile or tile_that_fits(spatial, self._bytes_per_pixel(), step, overlaps),
            overlaps,
            step,
            self._context(),
            scratch,
        )

    def _limits(self, image: AnyImage) -> Limits:
        if isinstance(image, Image):
            return self._normalisation.limits_by_channel(image)
        return self._normalisation.limits_on_disk(image)

    def _restored(self, tile: np.ndarray, limits: Limits) -> Sequence[np.ndarray]:
        """Restore ([z,] y, x, channels), and bring it back as csbdeep's `PercentileNormalizer` does."""
        predicted = self._call(scale(tile, limits)[np.newaxis]).numpy()[0]
        count = self._config.n_channel_out
        if self._config.n_channel_in == count:
            low, high = np.float32(limits[0]), np.float32(limits[1])
            predicted *= np.tile(np.broadcast_to(high - low, count), predicted.shape[-1] // count)
            predicted[..., :count] += low
        mean, deviation = predicted[..., :count], predicted[..., count:]
        return (mean, deviation) if self._config.probabilistic else (mean,)

    def _overlaps(self) -> List[int]:
        """As asked for, or so much that the result is that of the whole image."""
        if self._overlap is not None:
            return [int(self._overlap)] * self._config.n_dim
        return [2 * architecture.context(self._config)] * self._config.n_dim

    def _context(self) -> Optional[List[int]]:
        if self._overlap is not None:
            return None
        return [architecture.context(self._config)] * self._config.n_dim

    def _bytes_per_pixel(self) -> float:
        return float(4 * _LIVE_LAYERS * self._config.unet_n_first)

    def _refuse_channels(self, axes: str, shape: Sequence[int]) -> None:
        has, takes = dict(zip(axes, shape)).get("C", 1), self._config.n_channel_in
        if has != takes:
            said = f"has {has} channel{'s' if has > 1 else ''}, but the model takes {takes}"
            choice = f": choose one with channel=0 to channel={has - 1}" if takes == 1 else ""
            raise SdkError(said + choice)
