# SPDX-License-Identifier: BSD-3-Clause
"""Draws normalised patches of images and label images, and makes batches of them."""

from __future__ import annotations

import math
import threading
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np
from skimage.segmentation import relabel_sequential
from stardist.utils import fill_label_holes
from targets import Batch, Targets

from dl4mic_sdk.augment import Augmentation, FlipRotate, GaussianNoise, Intensity, Warp
from dl4mic_sdk.images import Image
from dl4mic_sdk.normalisation import TINY, Normalisation
from dl4mic_sdk.pairs import Item
from dl4mic_sdk.patches import Augment, Patch, PatchSampler, shows_object

_FEWEST_VALIDATION_PATCHES = 8
_CACHE_BYTES, _VALIDATION_CACHE_BYTES = 32 << 20, 8 << 20
"""Every image is used once before any is used again, so that a cache helps only where all fit into it."""

_MOST_LABEL = np.iinfo(np.uint16).max
"""The library's distances are computed on 16-bit labels."""


class Batches:
    """Makes the batch of a step from patches that are drawn anew each time.

    Parameters
    ----------
    sampler
        Draws the patches.
    targets
        Makes the answers.
    fill_holes
        Fill holes in the objects, which StarDist cannot describe.
    """

    def __init__(self, sampler: PatchSampler, targets: Targets, fill_holes: bool) -> None:
        self._sampler = sampler
        self._targets = targets
        self._fill_holes = fill_holes
        self._holes: Dict[Tuple[Optional[Path], Any], bool] = {}
        self._lock = threading.Lock()

    def __call__(self, step: int) -> Batch:
        """Return the batch of a step."""
        patches = self._sampler.batch(step)
        return self._targets.batch([each.source for each in patches], [*map(self._labels, patches)])

    def examples(self, count: int) -> List[Tuple[np.ndarray, np.ndarray]]:
        """Return the first patches (of several channels the first) and their labels, as the network is shown them."""
        patches = [self._sampler.patch(number) for number in range(count)]
        return [
            (each.source[..., 0] if "C" in each.axes else each.source, self._labels(each))
            for each in patches
        ]

    def _labels(self, patch: Patch) -> np.ndarray:
        labels = np.ascontiguousarray(patch.target, np.int32)
        if labels.max() > _MOST_LABEL:
            labels = relabel_sequential(labels)[0]
        if self._fill_holes and self._has_holes(patch.item):
            labels = fill_label_holes(labels)
        return labels

    def _has_holes(self, item: Item) -> bool:
        """Whether any object of an image has a hole; looked up once, since filling takes as long as the targets."""
        key = (item.target, item.region)
        with self._lock:
            if key not in self._holes:
                labels = item.read_target().pixels.astype(np.int32)
                self._holes[key] = bool(np.any(fill_label_holes(labels) != labels))
            return self._holes[key]


def training_batches(
    parameters: Mapping[str, Any],
    config: Any,
    items: Sequence[Item],
    seed: int,
) -> Batches:
    """Make the batches to learn from, augmented where the parameters say so."""
    sampler = PatchSampler(
        items,
        config.train_patch_size,
        batch_size=config.train_batch_size,
        seed=seed,
        measure=_measure(parameters),
        accept=shows_object,
        accept_share=config.train_foreground_only,
        augment=augmentation(parameters),
        cache_bytes=_CACHE_BYTES,
    )
    return Batches(sampler, Targets(config), parameters["fill_holes"])


def validation_batches(
    parameters: Mapping[str, Any],
    config: Any,
    items: Sequence[Item],
    seed: int,
    patch: Sequence[int],
) -> Tuple[Batches, int]:
    """Make the batches to validate on, the same in every epoch, and say how many they are.

    One patch an image is drawn, as the library does, but not fewer than eight in all.
    """
    wanted = parameters["validation_patches"] or max(len(items), _FEWEST_VALIDATION_PATCHES)
    sampler = PatchSampler(
        items,
        patch,
        batch_size=config.train_batch_size,
        seed=seed + 1,
        measure=_measure(parameters),
        accept=shows_object,
        accept_share=config.train_foreground_only,
        cache_bytes=_VALIDATION_CACHE_BYTES,
    )
    batches = Batches(sampler, Targets(config), parameters["fill_holes"])
    return batches, math.ceil(wanted / config.train_batch_size)


def _measure(parameters: Mapping[str, Any]) -> Any:
    normalisation = Normalisation.of(parameters)

    def offset_and_scale(image: Image) -> Tuple[Any, Any]:
        low, high = normalisation.limits_by_channel(image)
        return low, np.float32(high) - np.float32(low) + TINY

    return offset_and_scale


def augmentation(parameters: Mapping[str, Any]) -> Optional[Augmentation]:
    """Return what varies the patches, or None where the parameters switch it off.

    The ranges are those of the library's training examples, which the ZeroCostDL4Mic notebook took over.
    """
    if not parameters["augmentation"]:
        return None
    variations: List[Augment] = []
    if parameters["augment_zoom"] or parameters["augment_elastic"]:
        zoom, elastic = parameters["augment_zoom"], parameters["augment_elastic"]
        variations.append(Warp(shift=0.0, zoom=zoom, shear=0.0, elastic=elastic))
    if parameters["augment_flips"]:
        variations.append(FlipRotate())
    low, high = parameters["augment_intensity"]
    shift = parameters["augment_shift"]
    variations.append(Intensity((low, high), (-shift, shift)))
    variations.append(GaussianNoise(parameters["augment_noise"]))
    return Augmentation(variations)
