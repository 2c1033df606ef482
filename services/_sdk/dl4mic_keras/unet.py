# SPDX-License-Identifier: BSD-3-Clause
"""What follows from the shape of csbdeep's U-Net: the sizes that it takes, and how far it looks around a pixel."""

from __future__ import annotations

from typing import Any, Tuple

from dl4mic_sdk.patch_shape import PatchRule


def divisor(config: Any) -> Tuple[int, ...]:
    """Return what sizes of patches and tiles must be multiples of along each axis: each level halves them."""
    return (2 ** int(config.unet_n_depth),) * int(config.n_dim)


def patch_rule(config: Any) -> PatchRule:
    """Return what the depth of a model asks of its patches."""
    return depth_rule(int(config.unet_n_depth), int(config.n_dim))


def depth_rule(depth: int, dimensions: int) -> PatchRule:
    """Return the same of a depth alone."""
    return PatchRule((2**depth,) * dimensions, "unet_n_depth")


def context(config: Any) -> int:
    """Return how many pixels around a pixel the network looks at, at most.

    Two layers on each level, down and up, and two at the bottom; a pixel of level n is 2^n wide, and pooling falls on
    any of these pixels, with ``blurpool`` on as many beside them. That is what csbdeep's `receptive_field_unet`
    measures, or up to 2^depth more.
    """
    depth, reach = int(config.unet_n_depth), int(config.unet_kern_size) // 2
    levels: int = 2**depth - 1
    pooled = 2 if getattr(config, "blurpool", False) else 1
    seen: int = 4 * reach * levels + 2 * reach * 2**depth + pooled * levels
    return seen
