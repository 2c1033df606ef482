# SPDX-License-Identifier: BSD-3-Clause
"""Finds the objects of an image with the library's model, its call compiled once for all image sizes."""

from __future__ import annotations

import math
from typing import Any, List, Mapping, Optional, Sequence, Tuple

import numpy as np
from framework import StarDist2D, StarDist3D, quiet, tf
from normalisation import Normalisation
from objects import Objects

from dl4mic_sdk.errors import ModelError
from dl4mic_sdk.task import ModelFolder
from dl4mic_sdk.training import weights_path

_MOST_BYTES = 2 << 30
"""Memory for the network's intermediate results from which on an image is cut into tiles."""

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
        Of the job: thresholds (None: the model's own), ``tile``, ``scale``.
    normalisation
        As the model was trained with.
    """

    def __init__(
        self, model: Any, parameters: Mapping[str, Any], normalisation: Normalisation
    ) -> None:
        self._model = model
        self._normalisation = normalisation
        self._thresholds = {
            "prob_thresh": parameters.get("prob_threshold"),
            "nms_thresh": parameters.get("nms_threshold"),
        }
        self._tile = parameters.get("tile")
        self._scale = float(parameters.get("scale") or 1.0)

    def segment(self, pixels: np.ndarray) -> Objects:
        """Find the objects of an image of shape (y, x) or (z, y, x)."""
        with quiet():
            labels, details = self._model.predict_instances(
                self._normalisation.apply(pixels),
                n_tiles=tiles_of(self._model, self._scaled(pixels.shape), self._tile),
                scale=None if self._scale == 1 else self._scale,
                show_tile_progress=False,
                **self._thresholds,
            )
        if labels.ndim == 2:
            return Objects(labels, details["prob"], details["coord"])
        return Objects(labels, _by_label(labels, details["points"], details["prob"]))

    def _scaled(self, shape: Sequence[int]) -> Tuple[int, ...]:
        return tuple(round(size * self._scale) for size in shape)


def _by_label(labels: np.ndarray, points: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """Order probabilities by label: the library numbers 3D objects anew after hidden ones are gone."""
    ordered = np.zeros(int(labels.max()) + 1, np.float32)
    inside = np.clip(np.round(points).astype(int), 0, np.array(labels.shape) - 1)
    np.maximum.at(ordered, labels[tuple(inside.T)], probability)
    return ordered[1:]


def tiles_of(
    model: Any, shape: Sequence[int], tile: Optional[Sequence[int]] = None
) -> Tuple[int, ...]:
    """Return how many tiles to cut an image into along each axis: as few as memory allows.

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
    while _bytes_of(model.config, [size / n for size, n in zip(shape, tiles)]) > _MOST_BYTES:
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
