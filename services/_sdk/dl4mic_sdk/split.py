# SPDX-License-Identifier: BSD-3-Clause
"""Which part of the data is kept apart for validation: whole images, whole groups of images, or a region of each."""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Set, Tuple

import numpy as np

from dl4mic_sdk.errors import DataError
from dl4mic_sdk.images import stem
from dl4mic_sdk.pairs import Item

STRIP = 32
"""Pixels between training and validation region that neither uses: about the diameter of an object."""

LEAST_WIDTH = 32
"""A narrower region holds hardly a whole object."""

GROUPS_FILE = "groups.csv"
"""Beside the images: which of them belong together, e.g. were taken of one animal."""

Split = Tuple[List[Item], List[Item], Dict[str, Any]]


def split(
    items: Sequence[Item],
    fraction: float = 0.1,
    mode: Optional[str] = None,
    strip: int = STRIP,
    seed: int = 0,
    patch_size: Optional[Sequence[int]] = None,
) -> Split:
    """Keep a part of the images apart for validation.

    Parameters
    ----------
    items
        All images.
    fraction
        Share that is kept apart, 0 to 1: of the images, or of the width of each. 0 keeps nothing apart.
    mode
        ``"image"``; ``"group"``: whole groups, as `groups.csv` beside the images names them (columns ``name`` and
        ``group``), since images of one animal or well are too alike; ``"region"``; or None: by group if there is that
        file, by region if there is only one image, else by image.
    strip
        Width in pixels of what is dropped between the two regions of an image.
    seed
        Of the choice.
    patch_size
        (Y, X) or (Z, Y, X): each region must hold a patch, and the validation region is widened to do so.

    Returns
    -------
    train, validation, description
        Two lists without common pixels, and how they were made in plain values.

    Raises
    ------
    DataError
        Too few images or too small ones.
    """
    description: Dict[str, Any] = {"fraction": fraction, "seed": seed}
    if not fraction:
        return list(items), [], dict(description, mode="none")
    mode = mode or _usual_mode(items)
    if mode in ("image", "group"):
        groups = _groups(items) if mode == "group" else [str(index) for index in range(len(items))]
        train, validation = _by_group(items, groups, fraction, seed, mode)
        names = {"train": _names(train), "validation": _names(validation)}
        return train, validation, dict(description, mode=mode, **names)
    train, validation = _by_region(items, fraction, strip, seed, patch_size or ())
    regions = [_pixels(one, other) for one, other in zip(train, validation)]
    return train, validation, dict(description, mode=mode, strip=strip, regions=regions)


def split_by_parameters(items: Sequence[Item], parameters: Mapping[str, Any]) -> Split:
    """Call `split` as the shared parameters of a training request say; a missing fraction keeps nothing apart."""
    return split(
        items,
        fraction=parameters.get("validation_fraction") or 0.0,
        mode=parameters.get("split"),
        strip=_given(parameters.get("split_strip"), STRIP),
        seed=parameters.get("seed") or 0,
        patch_size=parameters.get("patch_size"),
    )


def _usual_mode(items: Sequence[Item]) -> str:
    if _groups_file(items).is_file():
        return "group"
    return "image" if len(items) > 1 else "region"


def _by_group(
    items: Sequence[Item], groups: Sequence[str], fraction: float, seed: int, mode: str
) -> Tuple[List[Item], List[Item]]:
    """Keep whole groups apart, as many as come nearest to the fraction; at least one, and never all."""
    sizes = Counter(groups)
    names = list(sizes)
    if len(names) < 2:
        raise DataError(
            "one {} cannot be split by {} into training and validation".format(mode, mode),
            "Use split=region, give a validation folder, or add images.",
        )
    wanted = max(1, round(fraction * len(items)))
    chosen: Set[str] = set()
    taken = 0
    for index in np.random.default_rng(seed).permutation(len(names))[: len(names) - 1].tolist():
        size = sizes[names[index]]
        if not chosen or abs(taken + size - wanted) < abs(taken - wanted):
            chosen.add(names[index])
            taken += size
    train = [item for item, group in zip(items, groups) if group not in chosen]
    return train, [item for item, group in zip(items, groups) if group in chosen]


def _groups_file(items: Sequence[Item]) -> Path:
    return items[0].source.parent / GROUPS_FILE


def _groups(items: Sequence[Item]) -> List[str]:
    """Read the group of every image."""
    path = _groups_file(items)
    hint = "Put a CSV beside the images with the columns name (without suffix) and group."
    if path.exists() and not path.is_file():  # a pipe would be waited on for ever
        raise DataError("{} is no file".format(path), hint)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = {stem(row["name"]): row["group"].strip() for row in csv.DictReader(file)}
    except (OSError, UnicodeDecodeError, csv.Error, KeyError, AttributeError, TypeError) as error:
        raise DataError("{} cannot be read ({})".format(path, error or "empty"), hint) from error
    lacking = [
        (str(item.source), "has no group in {}".format(path.name))
        for item in items
        if not rows.get(item.name)
    ]
    if lacking:
        message = "{} of {} images have no group in {}".format(len(lacking), len(items), path)
        raise DataError(message, hint, lacking)
    return [rows[item.name] for item in items]


def _by_region(
    items: Sequence[Item], fraction: float, strip: int, seed: int, patch_size: Sequence[int]
) -> Tuple[List[Item], List[Item]]:
    patch = dict(zip("ZYX"[-len(patch_size) :] if patch_size else "", patch_size))
    rng = np.random.default_rng(seed)
    cuts = [_cut_of(each, fraction, strip, patch, bool(rng.integers(2))) for each in items]
    faults = [
        (str(item.source), cut.fault) for item, cut in zip(items, cuts) if cut.fault is not None
    ]
    if faults:
        raise DataError(
            "{} of {} images are too small for a training and a validation region: {}".format(
                len(faults), len(items), faults[0][1]
            ),
            "Give a validation folder, lower patch_size or split_strip, or use larger images.",
            faults,
        )
    train = [_region(item, cut.axis, cut.train) for item, cut in zip(items, cuts)]
    return train, [_region(item, cut.axis, cut.validation) for item, cut in zip(items, cuts)]


@dataclass(frozen=True)
class _Cut:
    """Where an image is cut across one axis, as (start, stop)."""

    axis: str
    train: Tuple[int, int]
    validation: Tuple[int, int]
    fault: Optional[str] = None


def _cut_of(
    item: Item, fraction: float, strip: int, patch: Mapping[str, int], at_start: bool
) -> _Cut:
    """Cut across the longer of Y and X, never between planes: neighbours show the same objects."""
    lengths = {axis: item.shape[item.axes.index(axis)] for axis in "YX"}
    axis = "Y" if lengths["Y"] > lengths["X"] else "X"
    length, least = lengths[axis], max(patch.get(axis, 0), LEAST_WIDTH)
    width = max(round(fraction * length), least)
    rest = length - width - strip
    fault = None
    if rest < least:
        text = "of its {} pixels along {}, {} for validation and a strip of {} leave fewer than {}"
        fault = text.format(length, axis, width, strip, least)
    if at_start:
        return _Cut(axis, (length - rest, length), (0, width), fault)
    return _Cut(axis, (0, rest), (length - width, length), fault)


def _region(item: Item, axis: str, bounds: Tuple[int, int]) -> Item:
    region = list(item.region or [(0, length) for length in item.shape])
    index = item.axes.index(axis)
    offset = region[index][0]
    region[index] = (offset + bounds[0], offset + bounds[1])
    shape = tuple(stop - start for start, stop in region)
    return replace(item, region=tuple(region), shape=shape)


def _pixels(train: Item, validation: Item) -> Dict[str, Any]:
    """Say which pixels of an image serve what, axis letter -> [start, stop], for the report."""
    return {
        "name": train.name,
        "train": {axis: list(each) for axis, each in zip(train.axes, train.region or ())},
        "validation": {axis: list(each) for axis, each in zip(train.axes, validation.region or ())},
    }


def _names(items: Sequence[Item]) -> List[str]:
    return [each.name for each in items]


def _given(value: Optional[int], default: int) -> int:
    return default if value is None else value
