# SPDX-License-Identifier: BSD-3-Clause
"""One test image with all that quality control looks at, and the files that are left of it."""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Dict, Mapping, Optional, Sequence, Tuple, Union

import numpy as np

from dl4mic_sdk import images
from dl4mic_sdk.array_on_disk import ArrayOnDisk
from dl4mic_sdk.errors import DataError
from dl4mic_sdk.images import Image, ImageOnDisk

MAPS, SLICES = "maps", "qc_slices.csv"
_IN_MEMORY = 1 << 24
"""Pixels of a map up to which it is put together in memory."""


@dataclass(frozen=True)
class Sample:
    """One test image.

    Attributes
    ----------
    name
        Of the image, by which it is known in tables and files.
    prediction
        What is scored.
    target
        What is right; None where that is not known.
    source
        What the prediction was made of, where it is known and the kind of task looks at it.
    """

    name: str
    prediction: Image
    target: Optional[Image]
    source: Optional[Image] = None


def target_of(sample: Sample, hint: str) -> Image:
    """Return the target.

    Raises
    ------
    DataError
        It is not known; `hint` says what is needed.
    """
    if sample.target is None:
        raise DataError("there is no target", hint)
    return sample.target


class SampleFiles:
    """Where what is measured pixel by pixel and plane by plane goes.

    Parameters
    ----------
    output
        Folder of the job's results.
    label
        Of what is scored, for tables.
    part
        Folder for its maps, below `MAPS`; empty where there is nothing else that is scored.
    """

    def __init__(self, output: Path, label: str, part: str = "") -> None:
        self._maps = output / MAPS / part
        self._slices = output / SLICES
        self._label = label

    def maps_like(self, image: Image, name: str) -> MapFiles:
        """Begin the maps of an image, with its axes and shape, under its name in tables."""
        return MapFiles(self._maps, replace(image, name=name))

    def add_slices(self, name: str, rows: Sequence[Mapping[str, Optional[float]]]) -> None:
        """Write the numbers of an image's planes, in their order; keys are the same in all."""
        if not rows:
            return
        begun = self._slices.exists()
        with self._slices.open("a", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            if not begun:
                table.writerow(["model", "image", "slice", *rows[0]])
            for index, row in enumerate(rows):
                cells = ["" if value is None else value for value in row.values()]
                table.writerow([self._label, name, index, *cells])


class MapFiles:
    """Maps of one image, filled plane by plane and written as float TIFF: ``<title>/<name>.tif``."""

    def __init__(self, folder: Path, like: Image) -> None:
        self._folder = folder
        self._like = like
        self._arrays: Dict[str, Any] = {}

    def put(self, title: str, channel: int, plane: int, values: np.ndarray) -> None:
        """Take one plane of a map; `plane` counts along T, then Z."""
        if title not in self._arrays:
            self._arrays[title] = self._new(title)
        self._arrays[title][self._place(channel, plane)] = values

    def write(self) -> None:
        """Write all maps."""
        like = self._like
        for title, array in self._arrays.items():
            if isinstance(array, ArrayOnDisk):
                self.write_whole(title, array.as_image(like.axes, like.pixel_size, like.name))
                self._scratch(title).unlink()
            else:
                self.write_whole(title, like.with_pixels(array))

    def write_whole(self, title: str, image: Union[Image, ImageOnDisk]) -> None:
        """Write a map that is complete."""
        path = self._folder / title / (self._like.name + ".tif")
        path.parent.mkdir(parents=True, exist_ok=True)
        images.write(path, image)

    def _new(self, title: str) -> Any:
        shape = self._like.pixels.shape
        if self._like.pixels.size <= _IN_MEMORY:
            return np.zeros(shape, np.float32)
        self._folder.mkdir(parents=True, exist_ok=True)
        return ArrayOnDisk(self._scratch(title), shape, np.float32)

    def _scratch(self, title: str) -> Path:
        return self._folder / ".{}".format(title)

    def _place(self, channel: int, plane: int) -> Tuple[Any, ...]:
        axes = self._like.axes
        sizes = dict(zip(axes, self._like.pixels.shape))
        outer = [axis for axis in axes if axis in "TZ"]
        at = np.unravel_index(plane, [sizes[axis] for axis in outer]) if outer else ()
        place = dict(zip(outer, at), C=channel)
        return tuple(place.get(axis, slice(None)) for axis in axes)
