# SPDX-License-Identifier: BSD-3-Clause
"""Writes outlines as a zip of ImageJ regions of interest, which Fiji's ROI Manager opens."""

from __future__ import annotations

import io
from collections.abc import Iterable
from zipfile import ZIP_STORED, ZipFile

import numpy as np

_VERSION = 227
_SUBPIXEL = 128
_HEADER = 64


def roi_zip(outlines: np.ndarray, labels: Iterable[int]) -> bytes:
    """Pack polygons into one archive, each named after its label.

    Parameters
    ----------
    outlines : ndarray of float, shape (objects, 2, corners)
        Row and column of the corners, in pixels; pixel centres have whole numbers.
    labels
        Object numbers, for the names: ``00012.roi``.

    Returns
    -------
    bytes
        A zip; entries as ImageJ's RoiDecoder reads them, with subpixel coordinates.
    """
    archive = io.BytesIO()
    with ZipFile(archive, "w", ZIP_STORED) as file:
        for label, record in zip(labels, _records(np.asarray(outlines, np.float32))):
            file.writestr(f"{label:05d}.roi", record.tobytes())
    return archive.getvalue()


def _records(outlines: np.ndarray) -> np.ndarray:
    """Return one record a polygon (type 0)."""
    corners = outlines.shape[2]
    exact = outlines[:, ::-1] + np.float32(0.5)  # x before y; a pixel's middle is at 0.5 in ImageJ
    whole = np.round(exact)
    left_top, right_bottom = whole.min(axis=2), whole.max(axis=2)
    records = np.zeros(len(outlines), _layout(corners))
    records["magic"] = b"Iout"
    records["version"] = _VERSION
    records["top_left"] = left_top[:, ::-1]
    records["bottom_right"] = right_bottom[:, ::-1]
    records["corners"] = corners
    records["options"] = _SUBPIXEL
    records["offsets"] = whole - left_top[:, :, np.newaxis]
    records["coordinates"] = exact
    return records


def _layout(corners: int) -> np.dtype:
    """Return ImageJ's record; all numbers are big-endian."""
    fields = {
        "magic": ("S4", 0),
        "version": (">i2", 4),
        "top_left": ((">i2", 2), 8),
        "bottom_right": ((">i2", 2), 12),
        "corners": (">u2", 16),
        "options": (">i2", 50),
        "offsets": ((">i2", (2, corners)), _HEADER),
        "coordinates": ((">f4", (2, corners)), _HEADER + 4 * corners),
    }
    return np.dtype(
        {
            "names": list(fields),
            "formats": [form for form, _ in fields.values()],
            "offsets": [offset for _, offset in fields.values()],
            "itemsize": _HEADER + 12 * corners,
        }
    )
