# SPDX-License-Identifier: BSD-3-Clause
"""The files that a prediction leaves, and the note of which images are finished."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Union

import numpy as np

from dl4mic_sdk.data_summary import stat_of
from dl4mic_sdk.images import Image, ImageOnDisk, write
from dl4mic_sdk.pairs import Item
from dl4mic_sdk.prediction import Prediction, Table
from dl4mic_sdk.tiff_metadata import metadata_of_result, read_metadata

_SUFFIX, _OME_SUFFIX = ".tif", ".ome.tif"

AnyImage = Union[Image, ImageOnDisk]

FINISHED_FILE = ".finished"
"""In the folder while it is filled: one JSON line for each image whose results are all written."""


def write_prediction(prediction: Prediction, name: str, output: Path) -> List[str]:
    """Write what a network made of an image; the result itself comes last, so that it is there when all is.

    Parameters
    ----------
    prediction
        What `predict_image` returned.
    name
        Name of the image without suffix.
    output
        Existing folder.

    Returns
    -------
    list of str
        The files, relative to the folder.

    Raises
    ------
    ValueError
        Object numbers that are negative or no integers.
    OSError
        The files cannot be written.
    """
    paths = paths_of(prediction, name)
    for suffix, content in prediction.files.items():
        if isinstance(content, Path):
            os.replace(str(content), str(output / (name + suffix)))
        else:
            _write_bytes(output / (name + suffix), content)
    for title, table in prediction.tables.items():
        _write_bytes(output / "{}_{}.csv".format(name, title), csv_of(table))
    main_title, main = prediction.main
    for title, image in prediction.images.items():
        if title != main_title:
            (output / title).mkdir(exist_ok=True)
            write(output / title / (name + _suffix(image)), image)
    write(output / (name + _suffix(main)), main, label=prediction.labels)
    return paths


def paths_of(prediction: Prediction, name: str) -> List[str]:
    """Files that `write_prediction` writes, relative to its folder."""
    main_title, main = prediction.main
    paths = [name + suffix for suffix in prediction.files]
    paths += ["{}_{}.csv".format(name, title) for title in prediction.tables]
    paths += [
        "{}/{}{}".format(title, name, _suffix(image))
        for title, image in prediction.images.items()
        if title != main_title
    ]
    return [*paths, name + _suffix(main)]


def prediction_path(folder: Path, name: str) -> Path:
    """Where the result of an image lies: it is an OME-TIFF if the image was one."""
    ome = folder / (name + _OME_SUFFIX)
    return ome if ome.exists() else folder / (name + _SUFFIX)


def with_metadata(
    prediction: Prediction, item: Item, dtype: Optional[np.dtype[Any]] = None
) -> Prediction:
    """Give predicted intensities what of the image's file still holds for them; labels are no such.

    Parameters
    ----------
    prediction
        Of the network.
    item
        The image.
    dtype
        In which the first image of the prediction is written; None: its own.
    """
    source = None if prediction.labels else read_metadata(item.source)
    if source is None:
        return prediction
    images = {}
    for title, image in prediction.images.items():
        shape = image.pixels.shape if isinstance(image, Image) else image.shape
        own = image.pixels.dtype if isinstance(image, Image) else image.dtype
        kind = dtype if dtype is not None and title == prediction.main[0] else own
        kept = metadata_of_result(source, image.axes, shape, kind, item.channel)
        images[title] = replace(image, metadata=kept)
    return replace(prediction, images=images)


def _suffix(image: AnyImage) -> str:
    return _OME_SUFFIX if image.metadata is not None and image.metadata.ome else _SUFFIX


def csv_of(table: Table) -> bytes:
    """Write a table as CSV that Fiji and spreadsheets read: comma, decimal point, UTF-8, a header."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table.columns)
    writer.writerows(table.rows)
    return text.getvalue().encode("utf-8")


class TableFile:
    """A table that is written part by part, as `csv_of` writes a whole one.

    Parameters
    ----------
    path
        The file, made anew. A part without rows may lack columns; the others have the same ones.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._columns: Sequence[str] = ()
        self._rows = 0
        path.write_bytes(b"")

    def add(self, part: Table) -> None:
        """Add the rows of a part."""
        if not self._rows and part.columns:
            self._columns = part.columns
            self.path.write_bytes(csv_of(Table(part.columns, ())))
        if part.rows:
            if list(part.columns) != list(self._columns):
                raise ValueError("tables of one image have different columns")
            with self.path.open("ab") as file:
                file.write(csv_of(part).split(b"\n", 1)[1])
            self._rows += len(part.rows)


class FinishedImages:
    """Notes which images of a folder are finished, and takes over what an attempt before has finished.

    Parameters
    ----------
    output
        Folder that is filled.
    previous
        The same folder of the attempt before, or None.
    """

    def __init__(self, output: Path, previous: Optional[Path]) -> None:
        self._output = output
        self._known = {folder: _read_finished(folder) for folder in (output, previous) if folder}
        (output / FINISHED_FILE).touch()

    def add(self, item: Item, files: List[str]) -> None:
        """Note that these files, relative to the folder, are all that an image leaves."""
        line = {"name": item.name, "source": list(stat_of(str(item.source))), "files": files}
        with (self._output / FINISHED_FILE).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def take_over(self, item: Item) -> bool:
        """Put the files of an image in place, if it was finished and has not changed since; say whether it was."""
        for folder, finished in self._known.items():
            known = finished.get(item.name)
            if known and self._fits(item, known, folder):
                if folder != self._output:
                    for path in known["files"]:
                        _link(folder / path, self._output / path)
                    self.add(item, known["files"])
                return True
        return False

    def forget(self) -> None:
        """Remove the note: the folder is complete."""
        (self._output / FINISHED_FILE).unlink()

    def _fits(self, item: Item, known: Dict[str, Any], folder: Path) -> bool:
        try:
            unchanged = known["source"] == list(stat_of(str(item.source)))
        except OSError:
            return False
        return unchanged and all((folder / path).is_file() for path in known["files"])


def _read_finished(folder: Path) -> Dict[str, Dict[str, Any]]:
    """Read the note of a folder; the line of a killed worker, or of one that had no more room, may be cut off."""
    try:
        lines = (folder / FINISHED_FILE).read_bytes().split(b"\n")[:-1]
    except OSError:
        return {}
    finished = {}
    for line in lines:
        with suppress(ValueError):
            note = json.loads(line.decode("utf-8"))
            finished[note["name"]] = note
    return finished


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(exist_ok=True)
    try:
        os.link(str(source), str(target))
    except FileExistsError:
        pass
    except OSError:  # another file system, or one without links
        shutil.copyfile(str(source), str(target))


def _write_bytes(path: Path, content: bytes) -> None:
    partial = path.with_name(".{}.partial".format(path.name))
    partial.write_bytes(content)
    os.replace(str(partial), str(path))
