# SPDX-License-Identifier: BSD-3-Clause
"""PNG files: reduced to what their pixels need, and refused when that is damaged or more than it says."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

from dl4mic_sdk.errors import ImageError
from dl4mic_sdk.images import inspect, read
from dl4mic_sdk.png_stream import SIGNATURE, reduced

PIXELS = np.random.RandomState(0).randint(0, 65535, (13, 21)).astype(np.uint16)


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def rows_of(pixels: np.ndarray) -> bytes:
    """Lines without a filter, big endian, each after its filter's number."""
    return b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)


def png(*, width: int = 21, height: int = 13, bits: int = 16, colour: int = 0, interlaced: int = 0,
        raw: bytes = rows_of(PIXELS), before: bytes = b"", after: bytes = b"") -> bytes:  # fmt: skip
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, interlaced)
    content = SIGNATURE + chunk(b"IHDR", header) + before + chunk(b"IDAT", zlib.compress(raw))
    return content + after + chunk(b"IEND", b"")


def read_of(tmp_path: Path, content: bytes) -> np.ndarray:
    (tmp_path / "a.png").write_bytes(content)
    return read(tmp_path / "a.png").pixels


def test_an_interlaced_image_is_the_same(tmp_path: Path) -> None:
    starts = [(0, 0), (0, 4), (4, 0), (0, 2), (2, 0), (0, 1), (1, 0)]
    steps = [(8, 8), (8, 8), (8, 4), (4, 4), (4, 2), (2, 2), (2, 1)]
    passes = [PIXELS[y::down, x::along] for (y, x), (down, along) in zip(starts, steps)]
    content = png(interlaced=1, raw=b"".join(map(rows_of, passes)))
    assert np.array_equal(read_of(tmp_path, content), PIXELS)


def test_pixels_in_several_chunks_and_what_they_do_not_need(tmp_path: Path) -> None:
    bomb = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(10_000_000)))
    whole = zlib.compress(rows_of(PIXELS))
    header = png()[: 8 + 25]
    content = header + bomb + chunk(b"IDAT", whole[:50]) + chunk(b"IDAT", whole[50:] + b"more")
    assert np.array_equal(read_of(tmp_path, content + chunk(b"IEND", b"")), PIXELS)
    assert b"zTXt" not in reduced(content)


def test_a_short_palette_is_filled_up(tmp_path: Path) -> None:
    raw = b"\0" + bytes([0, 1, 2, 9])
    content = png(
        width=4, height=1, bits=8, colour=3, raw=raw, before=chunk(b"PLTE", bytes(range(9)))
    )
    colours = read_of(tmp_path, content)[:, 0].T
    assert colours.tolist() == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [0, 0, 0]]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not a PNG"),
        (png(bits=3), "3 bit for the colour type 0"),
        (png(colour=5), "colour type 5"),
        (png(interlaced=2), "interlaced as no PNG"),
        (png(raw=rows_of(PIXELS)[:-1]), "not as many"),
        (png(raw=rows_of(PIXELS) + bytes(50_000_000)), "not as many"),
        (png(raw=b"\x05" + rows_of(PIXELS)[1:]), "unknown filter"),
        (png(colour=3, bits=8), "palette"),
        (png()[:-40], "cut off"),
        (png().replace(b"IDAT", b"IDAX"), "damaged|not as many"),
        (png()[:40] + b"\xff" + png()[41:], "check sum|damaged"),
    ],
)
def test_what_is_damaged_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    with pytest.raises(ImageError, match=words):
        read_of(tmp_path, content)


def test_a_header_that_lies_is_refused_before_memory_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png(width=1_000_000, height=1_000_000))
    with pytest.raises(ImageError, match=r"1000000 x 1000000 pixels, which its .* cannot hold"):
        inspect(path)
