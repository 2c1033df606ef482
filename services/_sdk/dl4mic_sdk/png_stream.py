# SPDX-License-Identifier: BSD-3-Clause
"""Reduces a PNG file to the chunks that its pixels need, all of them checked (PNG specification, 3rd edition, 5 to 11).

Old builds of the decoder end the whole process at an error in a file, and chunks that pixels do not need may expand
without end.
"""

from __future__ import annotations

import struct
import zlib
from typing import Dict, Iterator, List, NamedTuple, Tuple

import numpy as np

SIGNATURE = b"\x89PNG\r\n\x1a\n"

_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
"""Colour type -> bits a sample that it allows."""

_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_PALETTE = 3
_HIGHEST_FILTER = 4
_PASSES = (
    (0, 8, 0, 8),
    (0, 8, 4, 8),
    (4, 8, 0, 4),
    (0, 4, 2, 4),
    (2, 4, 0, 2),
    (0, 2, 1, 2),
    (1, 2, 0, 1),
)
"""Of an interlaced image (Adam7): first row, step of rows, first column, step of columns."""


class Header(NamedTuple):
    """The chunk IHDR."""

    width: int
    height: int
    bits: int
    colour: int
    compression: int
    filters: int
    interlaced: int

    @classmethod
    def of(cls, content: bytes) -> Header:
        """Read it from the beginning of a file.

        Raises
        ------
        ValueError
            It is no PNG file, or says what the specification does not allow.
        """
        if content[:8] != SIGNATURE or content[12:16] != b"IHDR" or len(content) < 29:
            raise ValueError("not a PNG file")
        header = cls(*struct.unpack(">IIBBBBB", content[16:29]))
        if header.bits not in _DEPTHS.get(header.colour, ()):
            text = "{} bit for the colour type {} is no PNG"
            raise ValueError(text.format(header.bits, header.colour))
        if header.compression or header.filters or header.interlaced > 1:
            raise ValueError("it is compressed, filtered or interlaced as no PNG is")
        return header

    def rows(self) -> List[Tuple[int, int]]:
        """Return (rows, bytes of a row with its filter's number) of each pass over the image."""
        passes = _PASSES if self.interlaced else ((0, 1, 0, 1),)
        sizes = [
            (len(range(top, self.height, down)), len(range(left, self.width, along)))
            for top, down, left, along in passes
        ]
        bits = self.bits * _SAMPLES[self.colour]
        return [
            (rows, 1 + (columns * bits + 7) // 8) for rows, columns in sizes if rows and columns
        ]


def reduced(content: bytes) -> bytes:
    """Return the same image without what its pixels do not need.

    Raises
    ------
    ValueError
        The file is damaged, or its pixels are more or fewer than its header says.
    """
    header = Header.of(content)
    chunks: Dict[bytes, bytes] = {}
    for name, data in _chunks(content):
        chunks[name] = chunks.get(name, b"") + data
    parts = [_chunk(b"IHDR", struct.pack(">IIBBBBB", *header))]
    if header.colour == _PALETTE:
        parts.append(_chunk(b"PLTE", _palette(chunks.get(b"PLTE", b""), header.bits)))
    parts.append(_chunk(b"IDAT", _checked_pixels(chunks.get(b"IDAT", b""), header)))
    return b"".join([SIGNATURE, *parts, _chunk(b"IEND", b"")])


def _chunks(content: bytes) -> Iterator[Tuple[bytes, bytes]]:
    at = len(SIGNATURE)
    while at + 12 <= len(content):
        length = int.from_bytes(content[at : at + 4], "big")
        name, end = content[at + 4 : at + 8], at + 8 + length
        if end + 4 > len(content):
            raise ValueError("it is cut off")
        if name in (b"IHDR", b"PLTE", b"IDAT"):
            if zlib.crc32(content[at + 4 : end]) != int.from_bytes(content[end : end + 4], "big"):
                raise ValueError("a check sum in it is wrong")
            yield name, content[at + 8 : end]
        at = end + 4


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _palette(colours: bytes, bits: int) -> bytes:
    """Fill a palette up, so that every number has a colour."""
    if not colours or len(colours) % 3:
        raise ValueError("its palette is damaged")
    length = 3 << bits
    return colours[:length].ljust(length, b"\0")


def _checked_pixels(compressed: bytes, header: Header) -> bytes:
    """Return the compressed pixels, without what follows them, when they are as many as the header says."""
    passes = header.rows()
    expected = sum(rows * stride for rows, stride in passes)
    stream = zlib.decompressobj()
    try:
        pixels = np.frombuffer(stream.decompress(compressed, expected + 1), np.uint8)
        beyond = stream.decompress(stream.unconsumed_tail, 1)
    except zlib.error as error:
        raise ValueError("its pixels are damaged ({})".format(error)) from error
    if len(pixels) != expected or beyond or not stream.eof:
        raise ValueError("its pixels are not as many as its header says")
    at = 0
    for rows, stride in passes:
        if pixels[at : at + rows * stride : stride].max() > _HIGHEST_FILTER:
            raise ValueError("its pixels are damaged (an unknown filter)")
        at += rows * stride
    return compressed[: len(compressed) - len(stream.unused_data)]
