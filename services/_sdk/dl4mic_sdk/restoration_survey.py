# SPDX-License-Identifier: BSD-3-Clause
"""Looks at some images of a set that a network is to restore: are pairs in place, and is noise of the kind it removes?

The cost is bounded: one plane of at most 512 x 512 px of at most eight images, spread over the set.
"""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Iterator, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from dl4mic_sdk.errors import ImageError
from dl4mic_sdk.images import opened
from dl4mic_sdk.pairs import Item

if TYPE_CHECKING:
    from dl4mic_sdk.pair_facts import PairFacts

MOST_IMAGES = 8
LARGEST_PLANE = 512

SMALLEST_SHIFT = 1.0
"""px; less is within what the estimate is off by, and within the width of a microscope's focus."""

LEAST_GAIN = 0.005
"""Of correlation by taking a shift back. Well placed pairs of a wide-field set had 0.001, shifted by 1 px 0.010."""

LEAST_LIKENESS = 0.5
"""Correlation of details from which on a target is taken for the same picture: not in label-free prediction."""

LEAST_SHARPNESS = 0.7
LARGEST_NOISE = 3.0
"""Of targets, as multiples of their images'. Real sets had 0.8 to 2.6 and 0.06 to 2.8; swapped, 0.4 to 1.2 and 15."""

LARGEST_CORRELATION = 0.2
"""Of the noise of neighbouring pixels. Raw images of cameras had 0.05 at most; noise smoothed by 0.7 px has 0.5."""

Warned = Tuple[str, str]


def survey(items: Sequence[Item], supervision: str) -> List[Warned]:
    """Return code and message of what is odd; nothing where the supervision is not one of restoration.

    Parameters
    ----------
    items
        Images that can be used, with their targets if they are paired.
    supervision
        Lower-case name of the contract's kind.
    """
    if supervision == "paired_images":
        return list(about_pairs(_pairs(chosen(items))))
    if supervision == "noisy_images":
        return list(about_noise(_correlations(chosen(items))))
    return []


def chosen(items: Sequence[Item], most: int = MOST_IMAGES) -> List[Item]:
    """Choose some images, spread evenly over the set; none that is at fault."""
    usable = [each for each in items if not each.fault]
    step = max(1, -(-len(usable) // most))
    return list(usable[::step])


def plane_of(item: Item) -> Optional[np.ndarray]:
    """Read the middle of an image: (Y, X); None where it cannot be read."""
    return _plane(item.source, item.source_axes, item.channel)


def about_pairs(facts: Mapping[str, PairFacts]) -> Iterator[Warned]:
    """Warn of pairs whose target is not the better picture of the same place.

    Parameters
    ----------
    facts
        Name of an image -> what it and its target say.
    """
    alike = {name: each for name, each in facts.items() if each.likeness >= LEAST_LIKENESS}
    shifted = [
        "{} by {:g} px along Y and {:g} px along X".format(name, *each.shift)
        for name, each in alike.items()
        if np.hypot(*each.shift) >= SMALLEST_SHIFT and each.gain >= LEAST_GAIN
    ]
    if shifted:
        text = "Targets lie off their images, in {} of {} pairs that were looked at: {}. Register the pairs first."
        yield "PAIRS_SHIFTED", text.format(len(shifted), len(facts), "; ".join(shifted[:3]))
    sharpness = [each.sharpness for each in alike.values() if each.sharpness is not None]
    if sharpness and median(sharpness) < LEAST_SHARPNESS:
        yield "TARGETS_LESS_SHARP", _swapped("less sharp", median(sharpness), len(sharpness))
    noise = [each.noise for each in alike.values() if each.noise is not None]
    if noise and median(noise) > LARGEST_NOISE:
        yield "TARGETS_NOISIER", _swapped("noisier", median(noise), len(noise))


def about_noise(correlations: Sequence[Optional[float]]) -> Iterator[Warned]:
    """Warn of noise that a network which guesses a pixel from its neighbours would take for structure."""
    known = [each for each in correlations if each is not None]
    if known and abs(median(known)) > LARGEST_CORRELATION:
        text = (
            "The noise of neighbouring pixels is correlated ({:.2f}; independent noise has 0; median of {} images): "
            "the network will keep it. Give images as the camera made them, not resampled, filtered or compressed "
            "with loss; against stripes, hide the neighbours of a pixel too, where the network has a parameter for it."
        )
        yield "NOISE_CORRELATED", text.format(median(known), len(known))


def _swapped(what: str, value: float, count: int) -> str:
    text = "Targets are {} than their images ({:.2g} times, median of {} pairs): were source and target swapped?"
    return text.format(what, value, count)


def _correlations(items: Sequence[Item]) -> List[Optional[float]]:
    from dl4mic_sdk.pair_facts import noise_correlation

    planes = (plane_of(each) for each in items)
    return [noise_correlation(each) for each in planes if each is not None]


def _pairs(items: Sequence[Item]) -> Mapping[str, PairFacts]:
    from dl4mic_sdk.pair_facts import pair_facts

    found = {}
    for item in items:
        source = plane_of(item)
        target = _plane(item.target, item.target_axes, None) if item.target else None
        if source is not None and target is not None and source.shape == target.shape:
            facts = pair_facts(source, target)
            if facts is not None:
                found[item.name] = facts
    return found


def _plane(path: Path, axes: str, channel: Optional[int]) -> Optional[np.ndarray]:
    """Read the middle of the middle plane, of several channels of the first."""
    try:
        with opened(path, axes, channel) as image:
            region = {a: _middle(a, n) for a, n in zip(image.axes, image.shape)}
            pixels = image.read(region)
            plane: np.ndarray = pixels.reshape(pixels.shape[-2:])
            return plane
    except (ImageError, MemoryError):  # said of the file by whoever reads all of it
        return None


def _middle(axis: str, length: int) -> slice:
    if axis == "C":
        return slice(0, 1)
    size = min(length, LARGEST_PLANE if axis in "YX" else 1)
    return slice((length - size) // 2, (length - size) // 2 + size)
