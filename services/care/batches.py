# SPDX-License-Identifier: BSD-3-Clause
"""Draws patches of images and their targets, normalises and varies them, and makes batches of them."""

from __future__ import annotations

import math
from typing import Any, List, Mapping, Optional, Sequence, Tuple

import numpy as np
from intensities import Percentiles, Range

from dl4mic_keras.image_learner import Batch
from dl4mic_sdk.augment import Augmentation, FlipRotate, Warp
from dl4mic_sdk.normalisation import scale
from dl4mic_sdk.pairs import Item
from dl4mic_sdk.patches import Augment, Patch, PatchSampler

_FEWEST_VALIDATION_PATCHES = 16
_MOST_VALIDATION_PATCHES = 256
_CACHE_BYTES, _VALIDATION_CACHE_BYTES = 64 << 20, 8 << 20

DRAWN_LOW, DRAWN_HIGH = (1.0, 3.0), (99.5, 99.9)
"""Of csbdeep's `sample_percentiles`."""

_WARPS = {
    "augment_zoom": "zoom",
    "augment_rotation": "rotation",
    "augment_shear": "shear",
    "augment_elastic": "elastic",
}
"""Parameters, and what `Warp` calls them."""

Pair = Tuple[np.ndarray, np.ndarray]


class Batches:
    """Makes the batch of a step from patches that are drawn anew each time.

    Parameters
    ----------
    sampler
        Draws the patches, as they are in their files.
    percentiles
        By which they are normalised.
    augment
        Varies them afterwards, or None.
    seed
        Of percentiles and variations.
    """

    def __init__(
        self,
        sampler: PatchSampler,
        percentiles: Percentiles,
        augment: Optional[Augmentation],
        seed: int,
    ) -> None:
        self._sampler = sampler
        self._percentiles = percentiles
        self._augment = augment
        self._seed = seed

    def __call__(self, step: int) -> Batch:
        """Return the batch of a step."""
        size = self._sampler.batch_size
        pairs = [self._pair(number) for number in range(step * size, (step + 1) * size)]
        images, answers = map(np.stack, zip(*pairs))
        return Batch(self._with_channels(images), self._with_channels(answers))

    def examples(self, count: int) -> List[Pair]:
        """Return the first patches (of several channels the first) and their targets, as the network is shown them."""
        dimensions = len(self._sampler.patch_size)
        pairs = [self._pair(number) for number in range(count)]
        return [(_first(one, dimensions), _first(other, dimensions)) for one, other in pairs]

    def _with_channels(self, pixels: np.ndarray) -> np.ndarray:
        dimensions = len(self._sampler.patch_size)
        return pixels if pixels.ndim == dimensions + 2 else pixels[..., np.newaxis]

    def _pair(self, number: int) -> Pair:
        patch = self._sampler.patch(number)
        rng = np.random.default_rng([self._seed, number, 1])
        source, target = self._percentiles.draw(patch.item, rng)
        pixels, aim = scale(patch.source, source), scale(_target_of(patch), target)
        if self._augment is None:
            return pixels, aim
        moved, answer = self._augment(pixels, aim, patch.axes, rng)
        return moved, np.asarray(answer)


class Bright:
    """Whether the middle of a patch's target is bright, as csbdeep's `no_background_patches` asks.

    Parameters
    ----------
    percentiles
        Of the images.
    threshold
        As a share of the intensity of percentile 99.9 of the target.
    """

    def __init__(self, percentiles: Percentiles, threshold: float) -> None:
        self._percentiles = percentiles
        self._threshold = threshold

    def __call__(self, source: np.ndarray, target: Optional[np.ndarray], item: Item) -> bool:
        """Look at a patch; for `accept` of `PatchSampler`."""
        if target is None:
            return True
        dimensions = min(source.ndim, len(item.axes.replace("C", "")))
        middle = tuple(
            slice(size // 4, size - size // 4) if size > 1 else slice(None)
            for size in target.shape[:dimensions]
        )
        bright = self._percentiles.levels(item)[1].bright
        return bool(target[middle].max() > self._threshold * bright)


def training_batches(
    parameters: Mapping[str, Any], patch: Sequence[int], items: Sequence[Item], seed: int
) -> Batches:
    """Make the batches to learn from, augmented where the parameters say so."""
    percentiles = Percentiles(*percentile_ranges(parameters))
    sampler = PatchSampler(
        items,
        patch,
        batch_size=parameters["batch_size"],
        seed=seed,
        accept=Bright(percentiles, parameters["foreground_threshold"]),
        accept_share=parameters["foreground_fraction"],
        cache_bytes=_CACHE_BYTES,
    )
    return Batches(sampler, percentiles, augmentation(parameters), seed)


def validation_batches(
    parameters: Mapping[str, Any], patch: Sequence[int], items: Sequence[Item], seed: int
) -> Tuple[Batches, int]:
    """Make the batches to validate on, the same in every epoch, and say how many they are.

    Left to us, they show about as many pixels as the validation images have, from 16 to 256 patches.
    """
    percentiles = Percentiles.fixed(parameters)
    sampler = PatchSampler(
        items,
        patch,
        batch_size=parameters["batch_size"],
        seed=seed + 1,
        accept=Bright(percentiles, parameters["foreground_threshold"]),
        accept_share=parameters["foreground_fraction"],
        cache_bytes=_VALIDATION_CACHE_BYTES,
    )
    shown = sum(math.prod(item.shape) for item in items) // math.prod(patch)
    chosen = min(max(shown, _FEWEST_VALIDATION_PATCHES), _MOST_VALIDATION_PATCHES)
    wanted = parameters["validation_patches"] or chosen
    batches = Batches(sampler, percentiles, None, seed + 1)
    return batches, math.ceil(wanted / parameters["batch_size"])


def augmentation(parameters: Mapping[str, Any]) -> Optional[Augmentation]:
    """Return what varies the patches, or None where the parameters switch it off.

    Flips and quarter turns are those of the ZeroCostDL4Mic notebooks, which can zoom, turn and shear beside.
    """
    if not parameters["augmentation"]:
        return None
    variations: List[Augment] = []
    warp = {kind: float(parameters[name]) for name, kind in _WARPS.items()}
    if any(warp.values()):
        variations.append(Warp(shift=0.0, target_labels=False, **warp))
    if parameters["augment_flips"]:
        variations.append(FlipRotate())
    return Augmentation(variations)


def percentile_ranges(parameters: Mapping[str, Any]) -> Tuple[Range, Range]:
    """Return from where the percentiles are drawn that become 0 and 1 in training.

    Left to us, a probabilistic model gets those of validation: no image tells which were drawn, so that it would count
    their spread as uncertainty (of the example's pixels 85 % instead of 60 % lay within the interval of 50 %).
    """
    fixed = parameters["probabilistic"]
    low, high = parameters["percentile_low"], parameters["percentile_high"]
    return (
        _range(parameters["train_percentile_low"] or ((low, low) if fixed else DRAWN_LOW)),
        _range(parameters["train_percentile_high"] or ((high, high) if fixed else DRAWN_HIGH)),
    )


def _range(given: Sequence[float]) -> Range:
    return float(given[0]), float(given[-1])


def _target_of(patch: Patch) -> np.ndarray:
    if patch.target is None:
        raise ValueError(f"{patch.item.name} has no target")
    return patch.target


def _first(pixels: np.ndarray, dimensions: int) -> np.ndarray:
    return pixels[..., 0] if pixels.ndim > dimensions else pixels
