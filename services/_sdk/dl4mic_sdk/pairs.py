# SPDX-License-Identifier: BSD-3-Clause
"""Which image belongs to which target: by file name, never by position in a listing."""

from __future__ import annotations

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
        A folder is missing or empty, both are the same one, a name occurs twice in a folder (``a.tif`` and
        ``a.png``), or an image has no counterpart; all such files are listed.
    """
    sources, targets = list_images(source), list_images(target)
    if Path(source).resolve() == Path(target).resolve():
        message = "{} is given for the images and for their targets".format(source)
        raise DataError(message, "Give the folder of the targets as target.")
    if Path(source).is_file() and Path(target).is_file():
        return [(sources[0], targets[0])]
    by_name = _by_name(sources), _by_name(targets)
    _refuse_duplicates(by_name)
    _refuse_unmatched(by_name, (Path(source), Path(target)))
    names = sorted(by_name[0], key=natural_key)
    return [(by_name[0][name][0], by_name[1][name][0]) for name in names]


def refuse_duplicates(files: Iterable[Path]) -> None:
    """Raise DataError when files of a folder differ in their suffix only: their results would overwrite each other."""
    _refuse_duplicates([_by_name(files)])


def _by_name(files: Iterable[Path]) -> Dict[str, List[Path]]:
    found: Dict[str, List[Path]] = defaultdict(list)
    for each in files:
        found[stem(each)].append(each)
    return found


def _refuse_duplicates(folders: Sequence[Dict[str, List[Path]]]) -> None:
    groups = [paths for folder in folders for paths in folder.values() if len(paths) > 1]
    faults = [
        (str(path), "has the same name as {}".format((set(group) - {path}).pop().name))
        for group in groups
        for path in group
    ]
    if faults:
        message = "several images have the same name but for the suffix: {}".format(_said(faults))
        raise DataError(message, "Keep one file of each name in a folder.", faults)


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
