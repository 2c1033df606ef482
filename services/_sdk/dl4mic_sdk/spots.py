# SPDX-License-Identifier: BSD-3-Clause
"""A table of objects as the spots of TrackMate, which its CSV importer reads to link them over time."""

from __future__ import annotations

import math
from typing import Any, List, Mapping, Optional

from dl4mic_sdk.prediction import Table

COLUMNS = (
    "ID", "QUALITY", "POSITION_X", "POSITION_Y", "POSITION_Z", "POSITION_T", "FRAME", "RADIUS",
    "AREA", "MEAN_INTENSITY_CH1",
)  # fmt: skip
"""Keys of the features in TrackMate 7's spots table. The importer wants whole numbers in ID and FRAME."""

_NEEDED = {"label", "centroid_y_px", "centroid_x_px", "area_px"}


def spots_of(
    objects: Table, position: Mapping[str, int], pixel_size: Mapping[str, float]
) -> Optional[Table]:
    """Turn the objects of one plane into spots.

    Parameters
    ----------
    objects
        With the columns ``label``, ``centroid_y_px``, ``centroid_x_px``, ``area_px`` and perhaps ``probability`` and
        ``mean_intensity``.
    position
        Of the plane, axis letter (T, Z) -> index from 0.
    pixel_size
        Axis letter -> µm (for T: s). As TrackMate does, positions are in µm where Y and X are known, else in pixels;
        the time is in seconds where T is known, else in frames.

    Returns
    -------
    Table or None
        None: these columns are not there. The radius is that of a disc with the area of the object.
    """
    if not set(objects.columns) >= _NEEDED:
        return None
    known = "Y" in pixel_size and "X" in pixel_size
    step = {axis: pixel_size[axis] if known and axis in pixel_size else 1.0 for axis in "ZYX"}
    frame = position.get("T", 0)
    time = frame * pixel_size.get("T", 1.0)
    height = position.get("Z", 0) * step["Z"]
    rows: List[List[Any]] = []
    for values in objects.rows:
        row = dict(zip(objects.columns, values))
        area = row["area_px"] * step["Y"] * step["X"]
        place = [row["centroid_x_px"] * step["X"], row["centroid_y_px"] * step["Y"], height, time]
        radius = math.sqrt(area / math.pi)
        quality, brightness = row.get("probability", 1), row.get("mean_intensity", "")
        measured = [_rounded(each) for each in place]
        rows.append(
            [row["label"], quality, *measured, frame, _rounded(radius), _rounded(area), brightness]
        )
    return Table(COLUMNS, rows)


def _rounded(value: float) -> float:
    return round(float(value), 4)
