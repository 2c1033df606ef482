# SPDX-License-Identifier: BSD-3-Clause
"""The size of the pieces that a network learns from: as asked for, or as the images allow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Sequence, Tuple

import numpy as np

from dl4mic_sdk.errors import SdkError
from dl4mic_sdk.pairs import Item

Shape = Tuple[int, ...]


@dataclass(frozen=True)
class PatchRule:
    """What a network asks of its patches.

    Attributes
    ----------
    divisor
        A patch, less twice `margin`, is a multiple of this along each axis.
    follows_from
        The parameters that decide on it, for messages: ``"unet_n_depth"``.
    margin
        Pixels at each edge that come on top.
    margin_name
        The parameter of `margin`, for messages.
    """

    divisor: Sequence[int]
    follows_from: str
    margin: int = 0
    margin_name: str = ""

    def shape(
        self, given: Optional[Sequence[int]], largest: Sequence[int], smallest: Sequence[int]
    ) -> Shape:
        """Choose the size of patches along (Z,) Y, X.

        Parameters
        ----------
        given
            As asked for, or None.
        largest
            Limit where none is given.
        smallest
            Size of the smallest image along each axis.

        Raises
        ------
        SdkError
            The given size is no multiple of `divisor` or larger than an image; or an image is smaller than any patch.
        """
        if given is not None:
            self._refuse(given, smallest)
            return tuple(given)
        margin = 2 * self.margin
        room = [min(size, limit) - margin for size, limit in zip(smallest, largest)]
        room[-2:] = [min(room[-2:])] * 2  # a square can be turned by 90 degrees
        steps = [*self.divisor[:-2], *[int(np.lcm.reduce(self.divisor[-2:]))] * 2]
        fitting = [size // step * step for size, step in zip(room, steps)]
        if min(fitting) <= 0:
            text = "the smallest training image or region is {} pixels, smaller than the smallest patch of {}"
            raise SdkError(
                text.format(_times(smallest), _times([step + margin for step in steps])),
                "Leave that image out, or lower {}.".format(self.follows_from),
            )
        return tuple(size + margin for size in fitting)

    def _refuse(self, given: Sequence[int], smallest: Sequence[int]) -> None:
        margin = 2 * self.margin
        if any((size - margin) % step for size, step in zip(given, self.divisor)):
            better = [
                max((size - margin) // step, 1) * step + margin
                for size, step in zip(given, self.divisor)
            ]
            less = "less twice {}, ".format(self.margin_name) if margin else ""
            text = (
                "patch_size {} does not suit the model: {}it must be a multiple of {} "
                "(which follows from {})"
            )
            raise SdkError(
                text.format(_times(given), less, _times(self.divisor), self.follows_from),
                "Use {}.".format(_times(better)),
            )
        if any(size > limit for size, limit in zip(given, smallest)):
            text = "patch_size {} is larger than the smallest training image or region, {}"
            raise SdkError(
                text.format(_times(given), _times(smallest)),
                "Lower patch_size, or leave it out and have it chosen from the images.",
            )


def smallest_of(items: Sequence[Item], dimensions: int) -> Shape:
    """Return the smallest size of any image along (Z,) Y, X."""
    axes = "ZYX"[-dimensions:]
    return tuple(min(item.shape[item.axes.index(axis)] for item in items) for axis in axes)


def _times(shape: Sequence[int]) -> str:
    return " x ".join(str(each) for each in shape)
