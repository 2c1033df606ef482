# SPDX-License-Identifier: BSD-3-Clause
"""Which image belongs to which target: by file name, never by position in a listing."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Iterable, List, Optional, Sequence, Set, Tuple

from dl4mic_sdk.axis_order import Region
from dl4mic_sdk.errors import DataError, ImageError
from dl4mic_sdk.images import Image, PathLike, list_images, natural_key, read, stem

MOST_NAMES_SAID = 20

_Faults = List[Tuple[str, str]]


@dataclass(frozen=True)
class Item:
    """One image of a data set, or a region of it, with its target; opened only by `read_source` and `read_target`.

    Attributes
    ----------
    name
        File name without folder and suffix.
    source, target
        The files; no target where the data set has none.
    axes, shape
        Of what `read_source` returns: T, Z, C, Y, X in this order. Empty where the header could not be read.
    region
        The part of the image that this item is, (start, stop) along each of `axes`; None: all of it.
    channel
        The channel that is taken of an image with several.
    source_axes, target_axes
        What the user said the axes of the files are; empty: what the files say.
    fault
        Why the image cannot be used; in a prediction such an image fails alone.
    planes
        Axes, of T and Z, along which it is taken apart for a network that has fewer.
    """

    name: str
    source: Path
    target: Optional[Path]
    axes: str
    shape: Tuple[int, ...]
    region: Optional[Tuple[Tuple[int, int], ...]] = None
    channel: Optional[int] = None
    source_axes: str = ""
    target_axes: str = ""
    fault: str = ""
    planes: str = ""

    @property
    def channels(self) -> int:
        """How many channels a network sees of it."""
        return dict(zip(self.axes, self.shape)).get("C", 1)

    def read_source(self) -> Image:
        """Read the image, mapped where possible.

        Raises
        ------
        ImageError
            It cannot be read or used.
        """
        if self.fault:
            raise ImageError(self.source, self.fault)
        return read(self.source, self.source_axes, self._slices(), self.channel)

    def read_target(self) -> Image:
        """Read the target, mapped where possible.

        Raises
        ------
        ImageError
            It cannot be read.
        ValueError
            The item has none.
        """
        if self.target is None:
            raise ValueError("{} has no target".format(self.name))
        return read(self.target, self.target_axes, self._slices())

    def _slices(self) -> Optional[Region]:
        if self.region is None:
            return None
        return {axis: slice(start, stop) for axis, (start, stop) in zip(self.axes, self.region)}


def pair(source: PathLike, target: PathLike) -> List[Tuple[Path, Path]]:
    """Pair the images of two folders whose names are the same but for the suffix, in natural order.

    Two single files are a pair whatever their names are.

    Raises
    ------
    DataError
        A folder is missing or empty, both are the same one, names in a folder are not fit (`refuse_unfit_names`), or
        an image has no counterpart; all such files are listed.
    """
    sources, targets = list_images(source), list_images(target)
    if Path(source).resolve() == Path(target).resolve():
        message = "{} is given for the images and for their targets".format(source)
        raise DataError(message, "Give the folder of the targets as target.")
    if Path(source).is_file() and Path(target).is_file():
        return [(sources[0], targets[0])]
    refuse_unfit_names(sources, targets)
    by_name = _by_name(sources), _by_name(targets)
    _refuse_unmatched(by_name, (Path(source), Path(target)))
    names = sorted(by_name[0], key=natural_key)
    return [(by_name[0][name][0], by_name[1][name][0]) for name in names]


def refuse_unfit_names(*folders: Sequence[Path]) -> None:
    """Raise DataError when names hold control characters, or the results of files would overwrite each other.

    Files of a folder do so when their names differ in the suffix only (``a.tif`` and ``a.png``), or, on Windows and
    macOS, in upper and lower case only.
    """
    odd = [each for files in folders for each in files if _is_odd(each.name)]
    if odd:
        faults = [(_readable(each), "has control characters in its name") for each in odd]
        message = "the names of {} files hold control characters, or are no text: {}"
        raise DataError(message.format(len(odd), _said(faults)), "Rename these files.", faults)
    _refuse_duplicates(folders)


def _is_odd(name: str) -> bool:
    """Whether a name would break a line or steer a terminal, or is of bytes that are no UTF-8."""
    return any(unicodedata.category(each) in ("Cc", "Cs", "Zl", "Zp") for each in name)


def _readable(path: Path) -> str:
    return str(path).encode("unicode_escape").decode("ascii")


def _by_name(files: Iterable[Path]) -> Dict[str, List[Path]]:
    found: Dict[str, List[Path]] = defaultdict(list)
    for each in files:
        found[stem(each)].append(each)
    return found


def _refuse_duplicates(folders: Sequence[Sequence[Path]]) -> None:
    faults = [
        (str(path), _likeness(path, group))
        for files in folders
        for group in _alike(files)
        for path in group
    ]
    if faults:
        message = "several images have the same name but for the suffix or upper and lower case: {}"
        raise DataError(
            message.format(_said(faults)), "Keep one file of each name in a folder.", faults
        )


def _alike(files: Iterable[Path]) -> List[List[Path]]:
    """Group the files of a folder whose results would overwrite each other."""
    groups: Dict[str, List[Path]] = defaultdict(list)
    for each in files:
        groups[stem(each).lower()].append(each)
    return [each for each in groups.values() if len(each) > 1]


def _likeness(path: Path, group: Sequence[Path]) -> str:
    other = next(each for each in group if each != path)
    if stem(other) == stem(path):
        return "has the same name as {}".format(other.name)
    return "has the name of {} but for upper and lower case".format(other.name)


def _refuse_unmatched(
    by_name: Tuple[Dict[str, List[Path]], ...], folders: Tuple[Path, ...]
) -> None:
    images, targets = by_name
    faults = _unmatched(
        images, set(targets), "has no target of the same name in {}".format(folders[1])
    )
    faults += _unmatched(
        targets, set(images), "has no image of the same name in {}".format(folders[0])
    )
    if faults:
        message = "{} of {} files have no counterpart of the same name: {}".format(
            len(faults), len(images) + len(targets), _said(faults)
        )
        raise DataError(message, _unmatched_hint(images, targets), faults)


def _unmatched(files: Dict[str, List[Path]], others: Set[str], message: str) -> _Faults:
    names = sorted(set(files) - others, key=natural_key)
    return [(str(files[name][0]), message) for name in names]


def _unmatched_hint(images: Iterable[str], targets: Iterable[str]) -> str:
    """Say what the names differ in, if it is one and the same: ``_mask`` in ``a_mask``, or upper and lower case."""
    pairs = zip(sorted(set(images) - set(targets)), sorted(set(targets) - set(images)))
    additions = {target.replace(image, "", 1) if image in target else "" for image, target in pairs}
    hint = "Image and target must have the same file name; the suffix may differ."
    if len(additions) == 1 and additions != {""}:
        hint += " The targets' names have '{}' in addition: rename them.".format(additions.pop())
    elif {each.lower() for each in images} == {each.lower() for each in targets}:
        hint += " Here they differ in upper and lower case only."
    return hint


def _said(faults: _Faults) -> str:
    names = ", ".join(Path(path).name for path, _ in faults[:MOST_NAMES_SAID])
    more = len(faults) - MOST_NAMES_SAID
    return names + (" and {} more".format(more) if more > 0 else "")
