# SPDX-License-Identifier: BSD-3-Clause
"""PNG files of 1 to 16 bit, grey, RGB or with a palette; transparency is left out."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import Iterator, Tuple

import numpy as np

from dl4mic_sdk.png_stream import Header, reduced
from dl4mic_sdk.stored import Stored

_HEADER_BYTES = 33
_COLOUR_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 1, 6: 3}
"""Colour type of the PNG specification -> channels without alpha; a palette is of RGB."""


@contextmanager
def opened(path: Path) -> Iterator[Stored]:
    """Open a PNG file; its resolution is a printer's and says nothing of the pixel size."""
    with path.open("rb") as file:
        header = Header.of(file.read(_HEADER_BYTES))
    channels = _COLOUR_CHANNELS[header.colour]
    shape = (header.height, header.width) + ((channels,) if channels > 1 else ())
    yield Stored(
        axes="YXC"[: len(shape)],
        shape=shape,
        dtype=np.dtype(np.uint16 if header.bits == 16 else np.uint8),
        pixel_size={},
        load=lambda region: _decode(path, shape)[tuple(region)],
    )


def _decode(path: Path, shape: Tuple[int, ...]) -> np.ndarray:
    from imagecodecs import png_decode

    pixels: np.ndarray = png_decode(reduced(path.read_bytes()))
    if pixels.ndim == 3:
        pixels = pixels[..., :3] if len(shape) == 3 else pixels[..., 0]
    if pixels.shape != shape:
        raise ValueError("holds {} pixels instead of {}".format(pixels.shape, shape))
    return pixels
