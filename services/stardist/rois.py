# SPDX-License-Identifier: BSD-3-Clause
"""Writes outlines as a zip of ImageJ regions of interest, which Fiji's ROI Manager opens."""

from __future__ import annotations

import io
from pathlib import Path
from typing import IO, Iterable, Mapping, Optional, Union
from zipfile import ZIP_STORED, ZipFile

import numpy as np

_VERSION = 227
_SUBPIXEL = 128
_HEADER = 64
"""Bytes of the first header, and of the second one behind the coordinates, which holds channel, slice and frame."""


class RoiArchive:
    """A zip of regions that is filled part by part; entries are as ImageJ's RoiDecoder reads them.

    Parameters
    ----------
    target
        File that is made anew.
    position
        Plane that the regions lie in: axis letter (T, Z) -> index from 0.
    """

    def __init__(
        self, target: Union[Path, IO[bytes]], position: Optional[Mapping[str, int]] = None
    ) -> None:
        self._file = ZipFile(target, "w", ZIP_STORED)
        self._position = position or {}

    def add(self, outlines: np.ndarray, labels: Iterable[int]) -> None:
        """Add polygons, each named after its label: ``00012.roi``.

        Parameters
        ----------
        outlines : ndarray of float, shape (objects, 2, corners)
            Row and column of the corners, in pixels; pixel centres have whole numbers.
        labels
            Object numbers.
        """
        records = _records(np.asarray(outlines, np.float32), self._position)
        for label, record in zip(labels, records):
            self._file.writestr(f"{label:05d}.roi", record.tobytes())

    def close(self) -> None:
        """Complete the file."""
        self._file.close()


def roi_zip(
    outlines: np.ndarray, labels: Iterable[int], position: Optional[Mapping[str, int]] = None
) -> bytes:
    """Pack polygons into one archive; parameters as of `RoiArchive`."""
    content = io.BytesIO()
    archive = RoiArchive(content, position)
    archive.add(outlines, labels)
    archive.close()
    return content.getvalue()


def _records(outlines: np.ndarray, position: Mapping[str, int]) -> np.ndarray:
    """Return one record a polygon (type 0)."""
    corners = outlines.shape[2]
    exact = outlines[:, ::-1] + np.float32(0.5)  # x before y; a pixel's middle is at 0.5 in ImageJ
    whole = np.round(exact)
    left_top, right_bottom = whole.min(axis=2), whole.max(axis=2)
    records = np.zeros(len(outlines), _layout(corners, len(position) > 1))
    records["magic"] = b"Iout"
    records["version"] = _VERSION
    records["top_left"] = left_top[:, ::-1]
    records["bottom_right"] = right_bottom[:, ::-1]
    records["corners"] = corners
    records["options"] = _SUBPIXEL
    records["offsets"] = whole - left_top[:, :, np.newaxis]
    records["coordinates"] = exact
    if len(position) == 1:
        records["position"] = next(iter(position.values())) + 1
    elif position:
        records["second"] = _HEADER + 12 * corners
        records["plane"] = [1, position["Z"] + 1, position["T"] + 1]
    return records


def _layout(corners: int, second: bool) -> np.dtype:
    """Return ImageJ's record, with the second header or without; all numbers are big-endian."""
    fields = {
        "magic": ("S4", 0),
        "version": (">i2", 4),
        "top_left": ((">i2", 2), 8),
        "bottom_right": ((">i2", 2), 12),
        "corners": (">u2", 16),
        "options": (">i2", 50),
        "position": (">i4", 56),
        "second": (">i4", 60),
        "offsets": ((">i2", (2, corners)), _HEADER),
        "coordinates": ((">f4", (2, corners)), _HEADER + 4 * corners),
    }
    size = _HEADER + 12 * corners
    if second:
        fields["plane"] = ((">i4", 3), size + 4)
        size += _HEADER
    return np.dtype(
        {
            "names": list(fields),
            "formats": [form for form, _ in fields.values()],
            "offsets": [offset for _, offset in fields.values()],
            "itemsize": size,
        }
    )
