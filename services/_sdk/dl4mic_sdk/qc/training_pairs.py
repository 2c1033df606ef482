# SPDX-License-Identifier: BSD-3-Clause
"""The pairs that a model was trained on, as its record names them, where the files are still what they were."""

from __future__ import annotations

from typing import TYPE_CHECKING, Dict, List, Set, Tuple

from dl4mic_sdk.data_summary import DataSummary, FileFacts, stat_of
from dl4mic_sdk.images import Image

if TYPE_CHECKING:
    from dl4mic_sdk.pairs import Item
    from dl4mic_sdk.task import ModelFolder

_MOST_PAIRS = 16
_LEAST_PAIRS = 2
_PIXELS = 1 << 20
"""Of all crops together."""

_SIDE, _DEPTH = 256, 8
"""Of a crop."""


class NoTrainingPairs(Exception):
    """There is nothing to tune on; the message says why, in words for the report."""


def training_pairs(model: ModelFolder, test: DataSummary) -> List[Item]:
    """Return the training pairs that can still be read, none of which is a test image.

    Raises
    ------
    NoTrainingPairs
        There is none.
    """
    try:
        trained = DataSummary.from_record(dict(model.record.get("data") or {}))
    except (KeyError, TypeError, ValueError):
        raise NoTrainingPairs("nothing is known of the images it was trained on") from None
    paired = [each for each in trained.items if each.target is not None and not each.fault]
    if not paired:
        raise NoTrainingPairs("it was trained without targets")
    facts = {each.path: each for each in trained.files}
    there = [each for each in paired if _unchanged(each, facts)]
    if not there:
        raise NoTrainingPairs("its training images are no longer where they were, or were changed")
    tested = {each.sha256 for each in test.files if each.sha256}
    apart = [each for each in there if not _fingerprints(each, facts) & tested]
    if not apart:
        raise NoTrainingPairs("the test images are those it was trained on")
    return apart


def crops(items: List[Item]) -> List[Tuple[Image, Image]]:
    """Read the middle of some pairs, spread evenly over all: (source, target), at most 16 or a million pixels."""
    wanted = min(len(items), _MOST_PAIRS)
    chosen = [items[index * len(items) // wanted] for index in range(wanted)]
    found: List[Tuple[Image, Image]] = []
    pixels = 0
    for item in chosen:
        source, target = _middle(item.read_source()), _middle(item.read_target())
        if (source.axes, source.pixels.shape) != (target.axes, target.pixels.shape):
            raise NoTrainingPairs("its training images and targets differ in their channels")
        found.append((source, target))
        pixels += target.pixels.size
        if pixels >= _PIXELS and len(found) >= _LEAST_PAIRS:
            break
    return found


def _middle(image: Image) -> Image:
    most = {"Z": _DEPTH, "Y": _SIDE, "X": _SIDE, "T": 1}
    cut = []
    for axis, length in zip(image.axes, image.pixels.shape):
        size = min(length, most.get(axis, length))
        cut.append(slice((length - size) // 2, (length - size) // 2 + size))
    return image.with_pixels(image.pixels[tuple(cut)])


def _unchanged(item: Item, facts: Dict[str, FileFacts]) -> bool:
    for path in (str(item.source), str(item.target)):
        try:
            if path not in facts or stat_of(path) != (facts[path].size, facts[path].mtime_ns):
                return False
        except OSError:
            return False
    return True


def _fingerprints(item: Item, facts: Dict[str, FileFacts]) -> Set[str]:
    return {facts[str(path)].sha256 for path in (item.source, item.target)} - {""}
