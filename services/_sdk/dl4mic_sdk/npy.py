# SPDX-License-Identifier: BSD-3-Clause
"""NPY files of numbers; those of Python objects are refused, as loading them would run code."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Iterator, Tuple

import numpy as np
from numpy.lib import format as npy_format

from dl4mic_sdk.stored import Stored

_READ_HEADER = {(1, 0): npy_format.read_array_header_1_0, (2, 0): npy_format.read_array_header_2_0}

_LONGEST_HEADER = 10_000
"""Bytes; NumPy's own limit, of the versions that have one: a longer one can make Python's parser crash."""


@contextmanager
def opened(path: Path) -> Iterator[Stored]:
    """Open an NPY file; two axes are YX, a last axis of 3 or 4 is taken for colours."""
    with path.open("rb") as file:
        shape, dtype, offset = _header(file)
    if dtype.hasobject:
        raise ValueError("holds Python objects, not numbers")
    needed = offset + int(np.prod([int(each) for each in shape], dtype=object)) * dtype.itemsize
    if needed > path.stat().st_size:
        raise ValueError("its header claims {} pixels, which it does not hold".format(shape))
    yield Stored(
        axes=_axes(shape),
        shape=shape,
        dtype=dtype.newbyteorder("="),
        pixel_size={},
        load=lambda region: np.load(str(path), mmap_mode="r", allow_pickle=False)[tuple(region)],
    )


def _header(file: BinaryIO) -> Tuple[Tuple[int, ...], np.dtype[Any], int]:
    version = npy_format.read_magic(file)
    if version not in _READ_HEADER:
        raise ValueError("NPY version {}.{} is not read".format(*version))
    at = file.tell()
    length = int.from_bytes(file.read(2 if version == (1, 0) else 4), "little")
    if length > _LONGEST_HEADER:
        raise ValueError("its header claims {} bytes".format(length))
    file.seek(at)
    try:
        shape, _, dtype = _READ_HEADER[version](file)
    except (
        MemoryError,
        RecursionError,
    ) as error:  # brackets, nested deeper than Python's parser goes
        raise ValueError("its header cannot be read") from error
    return tuple(int(each) for each in shape), dtype, file.tell()


def _axes(shape: Tuple[int, ...]) -> str:
    if len(shape) == 3 and shape[-1] in (3, 4) and min(shape[:2]) > 4:
        return "YXC"
    return "Q" * (len(shape) - 2) + "YX" if len(shape) > 1 else "Q" * len(shape)
