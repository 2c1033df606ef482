# SPDX-License-Identifier: BSD-3-Clause
"""Finds the objects of an image with the library's model, its call compiled once for all image sizes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, List, Mapping, Optional, Sequence, Tuple

import numpy as np
from framework import StarDist2D, StarDist3D
from objects import Objects
from tiled import Read, Shelf, TiledSegmentation, Tiling, Window
from zoom import Zoom

from dl4mic_keras.framework import quiet, tf
from dl4mic_sdk.errors import ModelError, SdkError
from dl4mic_sdk.free_memory import memory_for_tile
from dl4mic_sdk.images import Image, ImageOnDisk
from dl4mic_sdk.normalisation import Normalisation, channels_last, scale
from dl4mic_sdk.task import ModelFolder
from dl4mic_sdk.training import weights_path

_LIVE_LAYERS = 6
"""How many layers of the base width are in memory at once; measured peaks were 0.5 to 0.8 of the estimate."""


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
    kind = StarDist2D if dimensions == 2 else StarDist3D
    try:
        with quiet():
            opened = kind(None, name=model.path.name, basedir=str(model.path.parent))
            opened.load_weights(weights.name)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"model {model.name} cannot be read: {error}") from error
    compile_prediction(opened)
    return opened


def compile_prediction(model: Any) -> None:
    """Replace the Keras `predict` under the library's model by one compiled call.

    Keras sets up a data pipeline for every call, which takes as long as the network itself on small images. The
    result is the same.
    """
    keras = model.keras_model
    channels = model.config.n_channel_in
    shape = (None,) * (model.config.n_dim + 1) + (channels,)
    call = tf.function(
        lambda pixels: keras(pixels, training=False),
        input_signature=[tf.TensorSpec(shape, tf.float32)],
    )

    def predict(pixels: np.ndarray, **_: Any) -> List[np.ndarray]:
        return [each.numpy() for each in call(pixels)]

    keras.predict = predict


class Segmenter:
    """Finds objects.

    Parameters
    ----------
    model
        Of the library, its prediction compiled.
    parameters
        Of the job: thresholds (None: the model's own), ``tile``, ``tile_overlap``, ``scale``.
    normalisation
        As the model was trained with.
    """

    def __init__(
        self, model: Any, parameters: Mapping[str, Any], normalisation: Normalisation
    ) -> None:
        self._model = model
        self._normalisation = normalisation
        thresholds = {
            "prob_thresh": parameters.get("prob_threshold"),
            "nms_thresh": parameters.get("nms_threshold"),
        }
        self._thresholds = {
            "prob_thresh": thresholds["prob_thresh"] or model.thresholds.prob,
            "nms_thresh": thresholds["nms_thresh"] or model.thresholds.nms,
        }
        self._tile = parameters.get("tile")
        self._overlap = parameters.get("tile_overlap")
        self._scale = float(parameters.get("scale") or 1.0)

    def segment(self, image: Image) -> Objects:
        """Find the objects of an image or stack, perhaps with channels.

        Raises
        ------
        SdkError
            It has not as many channels as the model takes.
        """
        self._refuse_channels(image.axes, image.pixels.shape)
        pixels = self._normalisation.normalised(image)
        counts = self._counts(pixels.shape[: self._model.config.n_dim])
        if len(counts) == 2 and max(counts) > 1:
            labels = np.zeros(pixels.shape[:2], np.int32)
            return _joined(
                self._tiled(pixels.shape[:2], pixels.__getitem__, labels, Shelf()), labels
            )
        with quiet():
            labels, details = self._model.predict_instances(
                pixels,
                n_tiles=counts + (1,) * (pixels.ndim - len(counts)),
                scale=None if self._scale == 1 else self._scale,
                show_tile_progress=False,
                **self._thresholds,
            )
        if labels.ndim == 2:
            return Objects(labels, details["prob"], details["coord"])
        return Objects(labels, _by_label(labels, details["points"], details["prob"]))

    def segment_large(
        self, image: ImageOnDisk, labels: Any, folder: Path
    ) -> Optional[TiledSegmentation]:
        """Find the objects of a 2D image that stays on disk, and draw them.

        Parameters
        ----------
        image
            Read tile by tile, after its percentiles.
        labels
            As of `TiledSegmentation`.
        folder
            Existing folder for what one tile has to tell another.

        Returns
        -------
        TiledSegmentation or None
            The objects; None: the image is small enough for one tile, or 3D.

        Raises
        ------
        SdkError
            As of `segment`.
        """
        self._refuse_channels(image.axes, image.shape)
        shape = tuple(n for axis, n in zip(image.axes, image.shape) if axis != "C")
        if len(shape) != 2 or max(self._counts(shape)) == 1:
            return None
        limits = self._normalisation.limits_on_disk(image)

        def read(window: Window) -> np.ndarray:
            pixels = image.read(dict(zip("YX", window)))
            return scale(channels_last(pixels, image.axes), limits)

        return self._tiled(shape, read, labels, Shelf(folder))

    def _tiled(
        self, shape: Tuple[int, ...], read: Read, labels: Any, shelf: Shelf
    ) -> TiledSegmentation:
        seen = Zoom(shape, self._scale)
        counts = tiles_of(self._model, seen.shape, self._tile)
        tiling = Tiling.of(self._model, seen.shape, counts, self._overlap)
        rescale = (1 / self._scale, 1 / self._scale)
        find = TiledSegmentation(
            self._model, tiling, seen.reading(read), self._thresholds, rescale, labels, shelf
        )
        find.run()
        return find

    def _counts(self, shape: Sequence[int]) -> Tuple[int, ...]:
        return tiles_of(self._model, Zoom(shape, self._scale).shape, self._tile)

    def _refuse_channels(self, axes: str, shape: Sequence[int]) -> None:
        has, takes = dict(zip(axes, shape)).get("C", 1), self._model.config.n_channel_in
        if has != takes:
            said = f"has {has} channel{'s' if has > 1 else ''}, but the model takes {takes}"
            choice = f": choose one with channel=0 to channel={has - 1}" if takes == 1 else ""
            raise SdkError(said + choice)


def _joined(found: TiledSegmentation, labels: np.ndarray) -> Objects:
    """Put the objects of all tiles together."""
    parts = list(found.parts())
    rays = found.rays
    outlines = [each.outlines for each in parts] or [np.zeros((0, 2, rays), np.float32)]
    probability = [each.probability for each in parts] or [np.zeros(0, np.float32)]
    return Objects(labels, np.concatenate(probability), np.concatenate(outlines))


def _by_label(labels: np.ndarray, points: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """Order probabilities by label: the library numbers 3D objects anew after hidden ones are gone."""
    ordered = np.zeros(int(labels.max()) + 1, np.float32)
    inside = np.clip(np.round(points).astype(int), 0, np.array(labels.shape) - 1)
    np.maximum.at(ordered, labels[tuple(inside.T)], probability)
    return ordered[1:]


def tiles_of(
    model: Any, shape: Sequence[int], tile: Optional[Sequence[int]] = None
) -> Tuple[int, ...]:
    """Return how many tiles to cut an image into along each axis: one as long as memory allows.

    What does not fit is cut into tiles of half of that, as other things are in memory beside a tile.

    Parameters
    ----------
    model
        Of the library.
    shape
        Of the image, without channels.
    tile
        Largest size of a tile in pixels; None chooses.
    """
    if tile is not None:
        return tuple(max(1, math.ceil(size / limit)) for size, limit in zip(shape, tile))
    tiles = [1] * len(shape)
    room = memory_for_tile()
    if _bytes_of(model.config, shape) <= room:
        return tuple(tiles)
    while _bytes_of(model.config, [size / n for size, n in zip(shape, tiles)]) > room / 2:
        longest = int(np.argmax([size / n for size, n in zip(shape, tiles)]))
        tiles[longest] += 1
    return tuple(tiles)


def _bytes_of(config: Any, shape: Sequence[float]) -> float:
    """Estimate the memory that the network needs for an image: the layers before and behind its grid."""
    backbone = config.backbone
    width = getattr(config, f"{backbone}_n_filter_base")
    behind = _LIVE_LAYERS * width + getattr(config, f"net_conv_after_{backbone}") + config.n_rays
    grid = float(np.prod(config.grid))
    before = 2 * width if grid > 1 else 0
    return float(4 * np.prod(shape) * (before + behind / grid))
