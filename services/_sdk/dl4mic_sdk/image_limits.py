# SPDX-License-Identifier: BSD-3-Clause
"""What the header of an image may claim: looked at before memory is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dl4mic_sdk.errors import ImageError

if TYPE_CHECKING:
    from dl4mic_sdk.stored import Stored

MOST_BYTES = 1 << 40
"""Larger images are taken for a damaged header."""

_TRUSTED_BYTES = 256 << 20
_MOST_EXPANSION = 2000.0
"""Deflate reaches about 1030 times on constant pixels; a header that claims more than this lies."""


def refuse_absurd(path: Path, stored: Stored) -> None:
    """Raise ImageError when a file holds no intensities, or claims more than can be in it."""
    if stored.dtype.kind not in "uibf":
        text = "holds values of the type {}, which are no intensities"
        hint = "Save it as integers or as real numbers, e.g. the absolute values of complex ones."
        raise ImageError(path, text.format(stored.dtype), hint)
    if min(stored.shape, default=0) < 1:
        text = "holds no pixels: its shape is {}"
        raise ImageError(path, text.format(stored.shape), "Save the image again.")
    size = path.stat().st_size
    most = min(MOST_BYTES, max(_TRUSTED_BYTES, _MOST_EXPANSION * size))
    claimed = stored.dtype.itemsize
    for length in stored.shape:
        claimed *= length
    if claimed > most:
        text = "its header claims {} pixels, which its {} bytes cannot hold"
        said = " x ".join(str(each) for each in stored.shape)
        raise ImageError(path, text.format(said, size), "Save the image again.")
    if stored.part_bytes > most:
        text = "its header claims a part of {} bytes, which its {} bytes cannot hold"
        raise ImageError(path, text.format(stored.part_bytes, size), "Save the image again.")
