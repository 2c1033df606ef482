# SPDX-License-Identifier: BSD-3-Clause
"""Measures the objects of a label image: position, size, shape, intensity, in pixels and in micrometres."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from dl4mic_sdk.prediction import Table

_SIZE = {2: ("area", "um2"), 3: ("volume", "um3")}


@dataclass(frozen=True)
class Objects:
    """What the network found in one image.

    Attributes
    ----------
    labels : ndarray of int32, shape ([z,] y, x)
        0 is background; some numbers may be missing, where a likelier object hides another.
    probability : ndarray of float32, shape (objects,)
        Of label 1, 2, 3 and so on.
    outlines : ndarray of float32, shape (objects, 2, rays), or None
        Row and column of each corner, in pixels; of 2D objects only.
    origin
        Where `labels` begin in the image that they are a part of; empty: at its first pixel.
    before
        Objects of the parts before: label 1 is number ``before + 1`` of the image.
    """

    labels: np.ndarray
    probability: np.ndarray
    outlines: Optional[np.ndarray] = None
    origin: Tuple[int, ...] = ()
    before: int = 0

    @property
    def present(self) -> np.ndarray:
        """Labels that the image really holds, ascending."""
        sizes = np.bincount(self.labels.ravel(), minlength=len(self.probability) + 1)
        sizes[0] = 0
        return np.flatnonzero(sizes)


def measure(objects: Objects, pixels: np.ndarray, pixel_size: Mapping[str, float]) -> Table:
    """Measure every object.

    Parameters
    ----------
    objects
        The objects of an image.
    pixels
        The image as it was read, not normalised; same shape as the labels, or channels behind it.
    pixel_size
        Axis letter -> µm; columns in µm are left out unless every axis is known.

    Returns
    -------
    Table
        A row an object, ascending by label. Positions are of pixel centres, counted from 0. Axes of the ellipse (or
        ellipsoid) are those of equal second moments, each pixel taken as a unit square (or cube). Circularity and
        solidity are of the whole outline, also where a likelier object covers a part of it.
    """
    axes = "ZYX"[-objects.labels.ndim :]
    present = objects.present
    columns: Dict[str, np.ndarray] = {"label": present + objects.before}
    if present.size:
        moments = _Moments.of(objects.labels, present)
        columns.update(_positions(moments, axes, objects.origin or (0,) * len(axes)))
        columns.update(_intensities(objects.labels, pixels, present))
        columns.update(_ellipse(moments))
        if objects.outlines is not None:
            columns.update(_outline_shapes(objects.outlines[present - 1]))
        columns["probability"] = objects.probability[present - 1]
        _add_micrometres(columns, axes, pixel_size)
    return _table(columns, objects.labels.ndim)


@dataclass(frozen=True)
class _Moments:
    count: np.ndarray  # (objects,)
    centre: np.ndarray  # (objects, dimensions)
    covariance: np.ndarray  # (objects, dimensions, dimensions)

    @classmethod
    def of(cls, labels: np.ndarray, present: np.ndarray) -> _Moments:
        at = np.nonzero(labels)
        index = np.searchsorted(present, labels[at])
        count = np.bincount(index)
        centre = np.stack([np.bincount(index, each) / count for each in at], axis=1)
        offset = [each - centre[index, axis] for axis, each in enumerate(at)]
        covariance = np.array([[np.bincount(index, a * b) / count for b in offset] for a in offset])
        return cls(count, centre, np.moveaxis(covariance, -1, 0))


def _positions(moments: _Moments, axes: str, origin: Sequence[int]) -> Dict[str, np.ndarray]:
    centre = moments.centre + np.array(origin)
    columns = {f"centroid_{a.lower()}_px": centre[:, i] for i, a in enumerate(axes)}
    columns[f"{_SIZE[len(axes)][0]}_px"] = moments.count
    return columns


def _intensities(
    labels: np.ndarray, pixels: np.ndarray, present: np.ndarray
) -> Dict[str, np.ndarray]:
    if pixels.ndim == labels.ndim:
        return _of_channel(labels, pixels, present)
    return {
        f"{name}_c{channel}": column
        for channel in range(pixels.shape[-1])
        for name, column in _of_channel(labels, pixels[..., channel], present).items()
    }


def _of_channel(
    labels: np.ndarray, pixels: np.ndarray, present: np.ndarray
) -> Dict[str, np.ndarray]:
    at = labels > 0
    index, values = np.searchsorted(present, labels[at]), pixels[at].astype(np.float64)
    total = np.bincount(index, values)
    lowest, highest = np.full(present.size, np.inf), np.full(present.size, -np.inf)
    np.minimum.at(lowest, index, values)
    np.maximum.at(highest, index, values)
    return {
        "mean_intensity": total / np.bincount(index),
        "min_intensity": lowest,
        "max_intensity": highest,
        "integrated_intensity": total,
    }


def _ellipse(moments: _Moments) -> Dict[str, np.ndarray]:
    dimensions = moments.centre.shape[1]
    pixel = (
        np.eye(dimensions) / 12
    )  # a pixel's own second moment, without which a single one has no size
    spread = np.linalg.eigvalsh(moments.covariance + pixel)[:, ::-1]
    lengths = 2 * np.sqrt((dimensions + 2) * np.maximum(spread, 0))
    names = ("major", "minor") if dimensions == 2 else ("major", "middle", "minor")
    columns = {f"{name}_axis_px": lengths[:, i] for i, name in enumerate(names)}
    if dimensions == 2:
        columns["eccentricity"] = np.sqrt(1 - spread[:, 1] / spread[:, 0])
    else:
        columns["elongation"] = lengths[:, 0] / lengths[:, 1]
        columns["flatness"] = lengths[:, 1] / lengths[:, 2]
    return columns


def _outline_shapes(outlines: np.ndarray) -> Dict[str, np.ndarray]:
    """Circularity 4 pi A / P² and solidity (area over that of the convex hull) of the outlines."""
    corners = np.moveaxis(outlines.astype(np.float64), 1, 2)
    area = _polygon_area(corners)
    sides = np.roll(corners, -1, axis=1) - corners
    perimeter = np.linalg.norm(sides, axis=2).sum(axis=1)
    return {
        "circularity": 4 * np.pi * area / np.maximum(perimeter, 1e-9) ** 2,
        "solidity": area / np.maximum(_polygon_area(convex_hulls(corners)), 1e-9),
    }


def _polygon_area(corners: np.ndarray) -> np.ndarray:
    following = np.roll(corners, -1, axis=1)
    cross = corners[..., 0] * following[..., 1] - corners[..., 1] * following[..., 0]
    area: np.ndarray = np.abs(cross.sum(axis=1)) / 2
    return area


def convex_hulls(corners: np.ndarray) -> np.ndarray:
    """Return the convex hulls of many star-convex polygons at once.

    Corners that point inwards lie on no hull; they are moved onto a neighbour until none is left. Around the centre the
    rest keep their order, so that the polygon stays simple.

    Parameters
    ----------
    corners : ndarray, shape (polygons, corners, 2)
        In order of their angle around a point inside.

    Returns
    -------
    ndarray
        Same shape; corners inside the hull are replaced by copies of the one before them.
    """
    rays = corners.shape[1]
    alive = np.ones(corners.shape[:2], bool)
    turn = np.sign(_signed_area(corners))[:, np.newaxis]
    while True:
        before, after = _neighbours(alive)
        first = np.take_along_axis(corners, before[..., np.newaxis], 1)
        third = np.take_along_axis(corners, after[..., np.newaxis], 1)
        into, out = corners - first, third - corners
        inward = (into[..., 0] * out[..., 1] - into[..., 1] * out[..., 0]) * turn < 0
        if not np.any(inward & alive):
            break
        alive &= ~inward
    kept = np.where(alive, np.arange(rays), before)
    return np.take_along_axis(corners, kept[..., np.newaxis], 1)


def _signed_area(corners: np.ndarray) -> np.ndarray:
    following = np.roll(corners, -1, axis=1)
    cross = corners[..., 0] * following[..., 1] - corners[..., 1] * following[..., 0]
    area: np.ndarray = cross.sum(axis=1) / 2
    return area


def _neighbours(alive: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """Return the index of the nearest living corner before and after each corner, around the polygon."""
    rays = alive.shape[1]
    twice = np.concatenate([alive, alive], axis=1)
    number = np.arange(2 * rays)
    last = np.maximum.accumulate(np.where(twice, number, -1), axis=1)
    following = np.where(twice, number, 4 * rays)[:, ::-1]
    following = np.minimum.accumulate(following, axis=1)[:, ::-1]
    return last[:, rays - 1 : 2 * rays - 1] % rays, following[:, 1 : rays + 1] % rays


def _add_micrometres(
    columns: Dict[str, np.ndarray], axes: str, pixel_size: Mapping[str, float]
) -> None:
    if any(axis not in pixel_size for axis in axes):
        return
    steps = [pixel_size[axis] for axis in axes]
    for axis, step in zip(axes.lower(), steps):
        columns[f"centroid_{axis}_um"] = columns[f"centroid_{axis}_px"] * step
    name, unit = _SIZE[len(axes)]
    columns[f"{name}_{unit}"] = columns[f"{name}_px"] * np.prod(steps)


def _table(columns: Dict[str, np.ndarray], dimensions: int) -> Table:
    if len(columns) == 1:
        axes = "zyx"[-dimensions:]
        names = ["label", *(f"centroid_{each}_px" for each in axes), f"{_SIZE[dimensions][0]}_px"]
        return Table(names, [])
    rows: List[List[object]] = [
        list(row) for row in zip(*(_plain(each) for each in columns.values()))
    ]
    return Table(list(columns), rows)


def _plain(column: np.ndarray) -> List[object]:
    if column.dtype.kind in "iu":
        return [int(each) for each in column]
    return [round(float(each), 4) for each in column]
