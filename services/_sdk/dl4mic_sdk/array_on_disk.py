# SPDX-License-Identifier: BSD-3-Clause
"""A large array in a file, of which only the parts in use are in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Mapping, Sequence, Tuple

import numpy as np

from dl4mic_sdk.images import ImageOnDisk


class ArrayOnDisk:
    """An array of zeros that is read and written by region.

    The file is mapped for each access only: what stays mapped would count as memory of the process.

    Parameters
    ----------
    path
        The file, made anew.
    shape, dtype
        Of the array.
    """

    def __init__(self, path: Path, shape: Sequence[int], dtype: Any) -> None:
        self.shape = tuple(int(each) for each in shape)
        self.dtype = np.dtype(dtype)
        self._path = path
        size = self.dtype.itemsize
        for length in self.shape:
            size *= length
        with path.open("wb") as file:
            file.truncate(size)

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
