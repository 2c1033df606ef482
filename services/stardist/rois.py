# SPDX-License-Identifier: BSD-3-Clause
"""Writes outlines as a zip of ImageJ regions of interest, which Fiji's ROI Manager opens."""

from __future__ import annotations

import io
from typing import Sequence
from zipfile import ZIP_STORED, ZipFile

import numpy as np

_VERSION = 227
_POLYGON = 0
_SUBPIXEL = 128
_HEADER = 64


def roi_zip(outlines: np.ndarray, labels: Sequence[int]) -> bytes:
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
    """Return the bytes of each polygon as a row; fields are big-endian at ImageJ's fixed places."""
    count, _, corners = outlines.shape
    exact = outlines[:, ::-1] + np.float32(0.5)  # x before y; the middle of a pixel is at 0.5 in ImageJ
    whole = np.round(exact).astype(np.int16)
    left_top, right_bottom = whole.min(axis=2), whole.max(axis=2)
    records = np.zeros((count, _HEADER + corners * (2 * 2 + 2 * 4)), np.uint8)
    records[:, :4] = np.frombuffer(b"Iout", np.uint8)
    _put(records, 4, np.int16(_VERSION))
    records[:, 6] = _POLYGON
    _put(records, 8, left_top[:, ::-1])
    _put(records, 12, right_bottom[:, ::-1])
    _put(records, 16, np.int16(corners))
    _put(records, 50, np.int16(_SUBPIXEL))
    _put(records, _HEADER, (whole - left_top[:, :, np.newaxis]).reshape(count, -1))
    _put(records, _HEADER + corners * 4, exact.reshape(count, -1))
    return records


def _put(records: np.ndarray, offset: int, values: np.ndarray) -> None:
    """Write values as big-endian bytes into every row."""
    values = np.broadcast_to(values, (len(records), *np.shape(values)[1:])) if np.ndim(values) else (
        np.full((len(records), 1), values)
    )
    raw = values.astype(values.dtype.newbyteorder(">")).reshape(len(records), -1)
    width = raw.shape[1] * raw.dtype.itemsize
    records[:, offset : offset + width] = np.ascontiguousarray(raw).view(np.uint8).reshape(len(records), width)
