# SPDX-License-Identifier: BSD-3-Clause
"""Stacks and time series through a network for single planes, plane by plane, and the results put together.

Objects are numbered through all planes: an object of one plane is none of another, a number names one object, and
programs that take a stack for a volume see no columns of objects that were never found. TrackMate needs no more, as it
looks at each frame by itself.
"""

from __future__ import annotations

import io
import shutil
import zipfile
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, Mapping, Tuple, Union

import numpy as np

from dl4mic_sdk.array_on_disk import ArrayOnDisk
from dl4mic_sdk.axis_order import AXES
from dl4mic_sdk.images import Image, ImageOnDisk
from dl4mic_sdk.prediction import Prediction, Table
from dl4mic_sdk.prediction_files import TableFile
from dl4mic_sdk.spots import spots_of

OBJECTS, SPOTS = "objects", "spots"
"""Titles of the table that a network makes of a plane, and of TrackMate's that is made of it."""

_COLUMN = {"T": "frame", "Z": "plane"}

Predict = Callable[[ImageOnDisk, Path], Prediction]


def predict_planes(image: ImageOnDisk, over: str, predict: Predict, scratch: Path) -> Prediction:
    """Apply a network to each plane of an image.

    Parameters
    ----------
    image
        The stack or series.
    over
        The axes, of T and Z, along which it is taken apart.
    predict
        Called with one plane after the other, each of which knows its position, and an empty folder.
    scratch
        Existing folder for what is not held in memory.

    Returns
    -------
    Prediction
        Images with the axes of `image`. Tables with the columns ``frame`` and ``plane`` (from 0) for T and Z; of a
        table of objects also the spots of TrackMate. The ZIP archives of all planes in one.
    """
    results = _Results(image, over, scratch)
    for position in positions(image, over):
        own = scratch / "plane"
        own.mkdir()
        results.add(position, predict(plane_of(image, position, results.labels), own))
        shutil.rmtree(str(own))
    return results.prediction()


def positions(image: ImageOnDisk, over: str) -> Iterator[Mapping[str, int]]:
    """Go through the planes of an image: axis letter -> index."""
    sizes = dict(zip(image.axes, image.shape))
    for place in np.ndindex(*(sizes[axis] for axis in over)):
        yield dict(zip(over, place))


def plane_of(image: ImageOnDisk, position: Mapping[str, int], labels_before: int) -> ImageOnDisk:
    """Return one plane; it is not read yet."""
    fixed = {axis: slice(index, index + 1) for axis, index in position.items()}
    single = tuple(image.axes.index(axis) for axis in position)
    kept = [(axis, n) for axis, n in zip(image.axes, image.shape) if axis not in position]
    axes = "".join(axis for axis, _ in kept)
    return ImageOnDisk(
        axes=axes,
        shape=tuple(n for _, n in kept),
        dtype=image.dtype,
        pixel_size={axis: each for axis, each in image.pixel_size.items() if axis in axes},
        read=lambda region: image.read(dict(region, **fixed)).squeeze(single),
        name=image.name,
        position=position,
        labels_before=labels_before,
    )


class _Results:
    """Puts the results of planes together, on disk.

    Attributes
    ----------
    labels
        Objects found so far.
    """

    def __init__(self, image: ImageOnDisk, over: str, scratch: Path) -> None:
        self.labels = 0
        self._image = image
        self._over = over
        self._scratch = scratch
        self._arrays: Dict[str, Tuple[ArrayOnDisk, str]] = {}
        self._tables: Dict[str, TableFile] = {}
        self._files: Dict[str, Path] = {}
        self._archives: Dict[str, zipfile.ZipFile] = {}
        self._are_labels = self._normalised = False

    def add(self, position: Mapping[str, int], found: Prediction) -> None:
        """Take in the results of a plane."""
        self._are_labels, self._normalised = found.labels, found.normalised
        before = self.labels
        for number, (title, image) in enumerate(found.images.items()):
            self._add_image(title, image, position, found.labels and not number)
        for title, table in found.tables.items():
            counted = _counted(table, before if found.labels else 0)
            self._add_table(title, _placed(counted, position))
            spots = spots_of(counted, position, self._image.pixel_size)
            if title == OBJECTS and spots is not None:
                self._add_table(SPOTS, spots)
        for suffix, content in found.files.items():
            self._add_file(suffix, content, position)

    def prediction(self) -> Prediction:
        """Return what came together."""
        for archive in self._archives.values():
            archive.close()
        sizes, name = self._image.pixel_size, self._image.name
        images = {
            title: array.as_image(axes, {a: s for a, s in sizes.items() if a in axes}, name)
            for title, (array, axes) in self._arrays.items()
        }
        tables = {"_{}.csv".format(title): each.path for title, each in self._tables.items()}
        files = dict(self._files, **tables)
        return Prediction(images, self._are_labels, files=files, normalised=self._normalised)

    def _add_image(
        self, title: str, image: Union[Image, ImageOnDisk], position: Mapping[str, int], label: bool
    ) -> None:
        array, axes = self._array(title, image, label)
        bands = [image.pixels] if isinstance(image, Image) else image.bands()
        start, largest = 0, 0
        for pixels in bands:
            rows = slice(start, start + pixels.shape[image.axes.index("Y")])
            start = rows.stop
            if label:
                largest = max(largest, int(pixels.max(initial=0)))
                pixels = np.where(pixels > 0, pixels + np.uint32(self.labels), 0)
            ordered = [image.axes.index(each) for each in axes if each in image.axes]
            inside = {"Y": rows}
            where = tuple(position.get(axis, inside.get(axis, slice(None))) for axis in axes)
            array[where] = np.transpose(pixels, ordered)
        if label:
            self.labels += largest

    def _array(
        self, title: str, image: Union[Image, ImageOnDisk], label: bool
    ) -> Tuple[ArrayOnDisk, str]:
        if title not in self._arrays:
            axes = "".join(each for each in AXES if each in self._over or each in image.axes)
            plane = image.pixels if isinstance(image, Image) else image
            sizes = dict(zip(self._image.axes, self._image.shape))
            sizes.update(zip(image.axes, plane.shape))
            dtype = np.uint32 if label else plane.dtype
            path = self._scratch / "image_{}".format(len(self._arrays))
            shape = [sizes[axis] for axis in axes]
            self._arrays[title] = ArrayOnDisk(path, shape, dtype), axes
        return self._arrays[title]

    def _add_table(self, title: str, table: Table) -> None:
        if title not in self._tables:
            path = self._scratch / "table_{}".format(len(self._tables))
            self._tables[title] = TableFile(path)
        self._tables[title].add(table)

    def _add_file(
        self, suffix: str, content: Union[bytes, Path], position: Mapping[str, int]
    ) -> None:
        if isinstance(content, Path):
            content = content.read_bytes()
        if suffix.endswith(".zip"):
            with zipfile.ZipFile(io.BytesIO(content)) as part:
                for name in part.namelist():
                    self._archive(suffix).writestr(name, part.read(name))
        else:
            plane = "".join("_{}{:04d}".format(each.lower(), at) for each, at in position.items())
            path = self._scratch / "file{}{}".format(plane, suffix)
            path.write_bytes(content)
            self._files[plane + suffix] = path

    def _archive(self, suffix: str) -> zipfile.ZipFile:
        if suffix not in self._archives:
            self._files[suffix] = self._scratch / "archive_{}".format(len(self._archives))
            self._archives[suffix] = zipfile.ZipFile(str(self._files[suffix]), "w")
        return self._archives[suffix]


def _counted(table: Table, before: int) -> Table:
    """Number the objects of a plane on from those before."""
    if not before or "label" not in table.columns:
        return table
    at = list(table.columns).index("label")
    rows = [[*row[:at], row[at] + before, *row[at + 1 :]] for row in table.rows]
    return Table(table.columns, rows)


def _placed(table: Table, position: Mapping[str, int]) -> Table:
    """Say in every row of which plane it is."""
    names = [_COLUMN[axis] for axis in position]
    place: Any = list(position.values())
    return Table([*names, *table.columns], [[*place, *row] for row in table.rows])
