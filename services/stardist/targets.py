# SPDX-License-Identifier: BSD-3-Clause
"""What the network shall answer for a patch: object probability and star distances, from the library's own code."""

from __future__ import annotations

from typing import Any, Mapping, NamedTuple, Sequence, Tuple

import numpy as np
from framework import Config3D
from stardist.models.model2d import StarDistData2D
from stardist.models.model3d import StarDistData3D
from stardist.rays3d import rays_from_json


class Batch(NamedTuple):
    """Patches with their answers.

    Attributes
    ----------
    images : ndarray of float32, shape (batch, [z,] y, x, channels)
        Normalised patches.
    probability : ndarray of float32, shape (batch, [z,] y, x, 1), on the grid
        Distance to the background, 1 at the middle of each object.
    distances : ndarray of float32, shape (batch, [z,] y, x, rays + 1), on the grid
        Distance to the object's edge along each ray; the last channel is the weight of the pixel.
    labels : tuple of ndarray of int32
        The objects that the answers were made from.
    """

    images: np.ndarray
    probability: np.ndarray
    distances: np.ndarray
    labels: Tuple[np.ndarray, ...]


class _InOrder:
    """Takes the patches as they come: what is drawn at random is drawn, and seeded, elsewhere."""

    batch_size: int

    def batch(self, i: int) -> np.ndarray:
        return np.arange(self.batch_size)


class _Data2D(_InOrder, StarDistData2D):  # type: ignore[misc]
    pass


class _Data3D(_InOrder, StarDistData3D):  # type: ignore[misc]
    pass


class Targets:
    """Makes batches as the library's own training does, with its masks, grid and shape completion.

    Parameters
    ----------
    config
        The library's configuration of the model.
    """

    def __init__(self, config: Any) -> None:
        self._kind, self._options = _generator(config)
        self._crop = _crop(config)

    def batch(self, images: Sequence[np.ndarray], labels: Sequence[np.ndarray]) -> Batch:
        """Make a batch of normalised patches and their label images, all of one shape."""
        patch = labels[0].shape
        size = len(images)
        data = self._kind(
            images, labels, batch_size=size, patch_size=patch, length=1, **self._options
        )
        (inputs,), (probability, distances) = data[0]
        return Batch(inputs, probability, distances, tuple(each[self._crop] for each in labels))


def _generator(config: Any) -> Tuple[Any, Mapping[str, Any]]:
    options = {"grid": config.grid, "foreground_prob": 0, "sample_ind_cache": False}
    if isinstance(config, Config3D):
        rays = rays_from_json(config.rays_json)
        return _Data3D, dict(options, rays=rays, anisotropy=config.anisotropy)
    options.update(n_rays=config.n_rays, shape_completion=config.train_shape_completion)
    return _Data2D, dict(options, b=config.train_completion_crop)


def _crop(config: Any) -> Tuple[slice, ...]:
    """Pixels at the edge that shape completion hides from the network."""
    if getattr(config, "train_shape_completion", False) and config.train_completion_crop:
        inner = slice(config.train_completion_crop, -config.train_completion_crop)
        return (inner, inner)
    return ()
