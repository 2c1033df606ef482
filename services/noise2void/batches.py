# SPDX-License-Identifier: BSD-3-Clause
"""Draws normalised patches of noisy images, and makes batches of them with blind spots."""

from __future__ import annotations

import math
from typing import Any, List, Mapping, Optional, Sequence, Tuple

import numpy as np
from intensities import moments_of
from masking import Masking

from dl4mic_keras.image_learner import Batch
from dl4mic_sdk.augment import FlipRotate
from dl4mic_sdk.images import Image
from dl4mic_sdk.pairs import Item
from dl4mic_sdk.patches import Measure, Patch, PatchSampler

_CACHE_BYTES, _VALIDATION_CACHE_BYTES = 32 << 20, 8 << 20
"""Every image is used once before any is used again, so that a cache helps only where all fit into it."""

_FEWEST, _MOST = 32, 256
"""Validation patches: few blind spots lie in each, and a mean over few of them says little."""


class Batches:
    """Makes the batch of a step from patches that are drawn anew each time; its answers are those of `Masking.hide`.

    Parameters
    ----------
    sampler
        Draws the patches.
    masking
        Lays the blind spots.
    seed
        Of the blind spots.
    """

    def __init__(self, sampler: PatchSampler, masking: Masking, seed: int) -> None:
        self._sampler = sampler
        self._masking = masking
        self._seed = seed

    def __call__(self, step: int) -> Batch:
        """Return the batch of a step."""
        first = step * self._sampler.batch_size
        pairs = [self._hidden(first + each) for each in range(self._sampler.batch_size)]
        shown, answers = zip(*pairs)
        return Batch(np.stack(shown), np.stack(answers))

    def examples(self, count: int) -> List[Tuple[np.ndarray, np.ndarray]]:
        """Return the first patches (of several channels the first) with blind spots, and as they are."""
        return [
            (self._hidden(number)[0][..., 0], _channels_last(self._sampler.patch(number))[..., 0])
            for number in range(count)
        ]

    def _hidden(self, number: int) -> Tuple[np.ndarray, np.ndarray]:
        patch = _channels_last(self._sampler.patch(number))
        return self._masking.hide(patch, np.random.default_rng([self._seed, number, 0, 1]))


def training_batches(
    parameters: Mapping[str, Any], config: Any, items: Sequence[Item], seed: int
) -> Batches:
    """Make the batches to learn from, flipped and turned where the parameters say so."""
    sampler = PatchSampler(
        items,
        config.n2v_patch_shape,
        batch_size=config.train_batch_size,
        seed=seed,
        measure=_measure(config),
        augment=_augmentation(parameters),
        cache_bytes=_CACHE_BYTES,
    )
    return Batches(sampler, Masking.of(parameters), seed)


def validation_batches(
    parameters: Mapping[str, Any],
    config: Any,
    items: Sequence[Item],
    seed: int,
    patch: Sequence[int],
) -> Tuple[Batches, int]:
    """Make the batches to validate on, the same in every epoch, and say how many they are."""
    wanted = parameters["validation_patches"] or _enough(items, patch)
    sampler = PatchSampler(
        items,
        patch,
        batch_size=config.train_batch_size,
        seed=seed + 1,
        measure=_measure(config),
        cache_bytes=_VALIDATION_CACHE_BYTES,
    )
    batches = Batches(sampler, Masking.of(parameters), seed + 1)
    return batches, math.ceil(wanted / config.train_batch_size)


def patches_in(items: Sequence[Item], patch: Sequence[int]) -> int:
    """Return how many patches show as many pixels as images have."""
    size = math.prod(patch)
    return math.ceil(sum(math.prod(each.shape) / each.channels / size for each in items))


def _enough(items: Sequence[Item], patch: Sequence[int]) -> int:
    return min(_MOST, max(_FEWEST, patches_in(items, patch)))


def _augmentation(parameters: Mapping[str, Any]) -> Optional[FlipRotate]:
    """Structured noise lies along Y or X: turned by a quarter, it would lie across the mask that hides it."""
    *_, y, x = parameters["n2v_struct_reach"]
    return FlipRotate(quarter_turns=y == x) if parameters["augmentation"] else None


def _measure(config: Any) -> Measure:
    """All images are normalised alike, by the numbers that the model keeps."""
    means, stds = moments_of(config)

    def offset_and_scale(image: Image) -> Tuple[Any, Any]:
        return (means, stds) if "C" in image.axes else (means[0], stds[0])

    return offset_and_scale


def _channels_last(patch: Patch) -> np.ndarray:
    return patch.source if "C" in patch.axes else patch.source[..., np.newaxis]
