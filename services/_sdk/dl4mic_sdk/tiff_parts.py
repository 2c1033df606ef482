# SPDX-License-Identifier: BSD-3-Clause
"""Reads a part of a TIFF series: mapped where its pixels lie together, else only the strips or tiles it touches."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Iterator, Optional, Sequence, Tuple

import numpy as np
import tifffile

_MAPPED_BYTES = 1 << 20
"""Smaller images are read: mapping them saves nothing and holds a mapping open."""

_JPEG = (6, 7, 34892, 33007)
"""Compressions whose segments need tables of the page to be decoded; such a page is decoded whole."""

Region = Sequence[slice]


def load(path: Path, file: tifffile.TiffFile, series: Any, region: Region) -> np.ndarray:
    """Load a region of a series, a slice without step along each of its axes."""
    shape = tuple(int(each) for each in series.shape)
    dtype = np.dtype(series.dtype).newbyteorder(file.byteorder)
    offset = series.dataoffset if hasattr(series, "dataoffset") else series.offset
    large = _product(shape) * dtype.itemsize >= _MAPPED_BYTES
    if offset is not None and large:
        return np.memmap(str(path), dtype, "r", offset, shape)[tuple(region)]
    paged = _axes_of_pages(series, shape) if large else None
    if paged is None:
        whole: np.ndarray = series.asarray().reshape(shape)
        return whole[tuple(region)]
    return _of_pages(file, series, region, paged)


def _axes_of_pages(series: Any, shape: Tuple[int, ...]) -> Optional[int]:
    """How many leading axes count pages; None where the pages are no planes of the series."""
    count, paged = 1, 0
    while count < len(series.pages) and paged < len(shape):
        count *= shape[paged]
        paged += 1
    known = series.pages[0] is not None and count == len(series.pages)
    return paged if known and _product(series.pages[0].shape) == _product(shape[paged:]) else None


def _of_pages(file: Any, series: Any, region: Region, paged: int) -> np.ndarray:
    outer = tuple(range(*each.indices(each.stop)) for each in region[:paged])
    inside = tuple(slice(each.start, each.stop) for each in region[paged:])
    counts = tuple(len(each) for each in outer)
    sizes = tuple(each.stop - each.start for each in inside)
    found = np.zeros((_product(counts),) + sizes, np.dtype(series.dtype))
    for place, at in enumerate(np.ndindex(*counts)):
        number = 0
        for axis, index in enumerate(at):
            number = number * int(series.shape[axis]) + outer[axis][index]
        if series.pages[number] is not None:
            found[place] = _of_page(file, series.pages[number], series.shape[paged:], inside)
    return found.reshape(counts + sizes)


def _of_page(file: Any, page: Any, shape: Sequence[int], region: Region) -> np.ndarray:
    """Read a region of a page: along Y and X, or along Y, X and the samples of a pixel."""
    first = page.keyframe
    samples = first.shaped[-1]
    plain = tuple(shape) in (first.shaped[2:], first.shaped[2:4] if samples == 1 else ())
    if not plain or first.compression in _JPEG:
        whole: np.ndarray = page.asarray().reshape(tuple(shape))
        return whole[tuple(region)]
    rows, columns = region[:2]
    sizes = (rows.stop - rows.start, columns.stop - columns.start)
    found = np.zeros(sizes + (samples,), first.dtype)
    for index, top, left in _segments(page, rows, columns):
        segment = _decoded(file, page, index)
        if segment is not None:
            _put(found, segment[0], top - rows.start, left - columns.start)
    return found[..., region[2]] if len(region) == 3 else found[..., 0]


def _put(found: np.ndarray, part: np.ndarray, top: int, left: int) -> None:
    """Copy the part of a segment that lies inside of what is wanted."""
    bottom, right = min(top + part.shape[0], len(found)), min(left + part.shape[1], found.shape[1])
    y, x = max(top, 0), max(left, 0)
    found[y:bottom, x:right] = part[y - top : bottom - top, x - left : right - left]


def _segments(page: Any, rows: slice, columns: slice) -> Iterator[Tuple[int, int, int]]:
    """Yield index, top and left of the strips or tiles that touch a region."""
    first = page.keyframe
    height, width = first.rowsperstrip, first.imagewidth
    if first.is_tiled:
        height, width = first.tilelength, first.tilewidth
    across = -(-first.imagewidth // width)
    for down in range(rows.start // height, -(-rows.stop // height)):
        for along in range(columns.start // width, -(-columns.stop // width)):
            yield down * across + along, down * height, along * width


def _decoded(file: Any, page: Any, index: int) -> Optional[np.ndarray]:
    """Decode a strip or tile; None where the file leaves it out."""
    if index >= len(page.dataoffsets) or not page.databytecounts[index]:
        return None
    with file.filehandle.lock:
        file.filehandle.seek(page.dataoffsets[index])
        encoded = file.filehandle.read(page.databytecounts[index])
    segment: Optional[np.ndarray] = page.keyframe.decode(encoded, index)[0]
    return segment


def _product(numbers: Sequence[int]) -> int:
    product = 1
    for each in numbers:
        product *= int(each)
    return product
