# SPDX-License-Identifier: BSD-3-Clause
"""A large array in a file, of which only the parts in use are in memory."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any, BinaryIO, Mapping, Sequence, Tuple

import numpy as np

from dl4mic_sdk.images import ImageOnDisk

_UNSUPPORTED = (errno.EOPNOTSUPP, errno.EINVAL)
_ZEROS_AT_ONCE = 1 << 20


class ArrayOnDisk:
    """An array of zeros that is read and written by region.

    The file is mapped for each access only: what stays mapped would count as memory of the process.

    Parameters
    ----------
    path
        The file, made anew.
    shape, dtype
        Of the array.

    Raises
    ------
    OSError
        There is not enough room for it.
    """

    def __init__(self, path: Path, shape: Sequence[int], dtype: Any) -> None:
        self.shape = tuple(int(each) for each in shape)
        self.dtype = np.dtype(dtype)
        self._path = path
        size = self.dtype.itemsize
        for length in self.shape:
            size *= length
        file = path.open("wb")
        try:
            with file:
                _reserve(file, size)
        except OSError:
            path.unlink()
            raise

    def __getitem__(self, region: Tuple[Any, ...]) -> np.ndarray:
        """Return a copy of a region."""
        return np.array(self._mapped("r")[region])

    def __setitem__(self, region: Tuple[Any, ...], values: np.ndarray) -> None:
        """Write a region."""
        self._mapped("r+")[region] = values

    def as_image(self, axes: str, pixel_size: Mapping[str, float], name: str) -> ImageOnDisk:
        """Give the axes a meaning; parameters as of `Image`."""

        def read(region: Mapping[str, slice]) -> np.ndarray:
            return self[tuple(region.get(axis, slice(None)) for axis in axes)]

        return ImageOnDisk(axes, self.shape, self.dtype, pixel_size, read, name)

    def _mapped(self, mode: Any) -> np.ndarray:
        return np.memmap(str(self._path), self.dtype, mode, 0, self.shape)


def _reserve(file: BinaryIO, size: int) -> None:
    """Take all room now: where a disk fills up under a file that is mapped, the kernel ends the writer (SIGBUS)."""
    try:
        os.posix_fallocate(file.fileno(), 0, size)
    except (AttributeError, OSError) as error:
        if isinstance(error, OSError) and error.errno not in _UNSUPPORTED:
            raise
        # A system, C library or file system without it; glibc writes to every block by itself.
        for start in range(0, size, _ZEROS_AT_ONCE):
            file.write(bytes(min(_ZEROS_AT_ONCE, size - start)))
