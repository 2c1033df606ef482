# SPDX-License-Identifier: BSD-3-Clause
"""Files with bytes changed at random, and bombs: they give an image or an ImageError, within little memory.

What needs a limit of memory runs in a process of its own, as a reader's native code would take this one with it.
"""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any, Dict

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dl4mic_sdk.errors import ImageError
from dl4mic_sdk.images import inspect, read

PIXELS = np.random.RandomState(0).randint(0, 4000, (40, 48)).astype(np.uint16)
MOST_RESIDENT_KIB = 250_000
"""Of a process that reads bombs: the readers themselves take about a third of it."""

LIMIT_BYTES = 1 << 30
"""Of address space beyond what the process has when it begins to read."""

READ_WITHIN_LIMIT = """
import resource, sys
import numpy, tifffile, imagecodecs
from dl4mic_sdk.errors import ImageError
from dl4mic_sdk.images import inspect, read
held = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (held + int(sys.argv[1]),) * 2)
for path in sys.argv[2:]:
    for look in (inspect, read):
        try:
            look(path)
        except ImageError as error:
            print(look.__name__, error)
print([line for line in open("/proc/self/status") if line.startswith("VmHWM")][0].split()[1])
"""


def tiff(pixels: np.ndarray = PIXELS, **options: Any) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, **options)
    return file.getvalue()


def npy(pixels: np.ndarray = PIXELS) -> bytes:
    file = io.BytesIO()
    np.save(file, pixels)
    return file.getvalue()


def png(raw: bytes, height: int = 40) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 48, height, 16, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")


LINES = b"".join(b"\0" + row.astype(">u2").tobytes() for row in PIXELS)
STACK = np.stack([PIXELS] * 3)
SOUND: Dict[str, bytes] = {
    "plain.tif": tiff(),
    "zlib.tif": tiff(compression="zlib"),
    "tiled.tif": tiff(tile=(16, 16), compression="zlib"),
    "imagej.tif": tiff(STACK, imagej=True, metadata={"axes": "ZYX"}),
    "big.tif": tiff(STACK, bigtiff=True, photometric="minisblack"),
    "ome.ome.tif": tiff(STACK, ome=True, photometric="minisblack", metadata={"axes": "ZYX"}),
    "rgb.tif": tiff(np.stack([PIXELS.astype(np.uint8)] * 3, -1), photometric="rgb"),
    "grey.png": png(LINES),
    "plane.npy": npy(),
    "stack.npy": npy(STACK.astype(np.float32)),
}


def look_at(path: Path) -> None:
    """Read a file; any error but an ImageError fails the test."""
    for look in (inspect, read):
        try:
            look(path)
        except ImageError as error:
            assert error.fault and error.hint, error


@pytest.mark.parametrize("name", sorted(SOUND))
@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_changed_bytes_give_an_image_or_an_image_error(
    tmp_path: Path, name: str, data: Any
) -> None:
    content = bytearray(SOUND[name])
    beginning = min(len(content), 400)
    ends = st.integers(0, beginning - 1) | st.integers(len(content) - beginning, len(content) - 1)
    changes = data.draw(st.lists(st.tuples(ends, st.integers(0, 255)), max_size=6))
    for at, byte in changes:
        content[at] = byte
    kept = data.draw(st.just(len(content)) | st.integers(0, len(content)))
    path = tmp_path / name
    path.write_bytes(bytes(content[:kept]))
    look_at(path)


def tiff_with(content: bytes, **values: int) -> bytes:
    """Change the values of tags of a TIFF file."""
    changed = bytearray(content)
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        page: Any = file.pages[0]
        for name, value in values.items():
            struct.pack_into("<HII", changed, page.tags[name].offset + 2, 4, 1, value)
    return bytes(changed)


def strip_bomb(compression: str, inflating: bytes) -> bytes:
    """A sound header of 40 x 48 pixels, whose only strip inflates to 400 MB."""
    content = tiff(compression=compression)
    values = {"StripOffsets": len(content), "StripByteCounts": len(inflating)}
    return tiff_with(content, **values) + inflating


ZEROS = bytes(400_000_000)
BOMBS: Dict[str, bytes] = {
    "trillion.tif": tiff_with(tiff(), ImageWidth=1_000_000, ImageLength=1_000_000),
    "trillion-zlib.tif": tiff_with(
        tiff(compression="zlib"), ImageWidth=1_000_000, ImageLength=1_000_000
    ),
    "long-strip.tif": tiff_with(tiff(), StripByteCounts=2**32 - 1),
    "strip.tif": strip_bomb("zlib", zlib.compress(ZEROS)),
    "bomb.png": png(LINES + ZEROS),
    "tall.png": png(LINES, height=2**31 - 1),
    "lies.npy": npy().replace(b"(40, 48)", b"(1" + b"0" * 5 + b"48,1" + b"0" * 9 + b")"),
}


def read_within_limit(*paths: Path) -> str:
    """Read files in a process that may hold little memory; return what it says."""
    command = [sys.executable, "-c", READ_WITHIN_LIMIT, str(LIMIT_BYTES), *map(str, paths)]
    environment = dict(os.environ, OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    done = subprocess.run(command, capture_output=True, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def test_bombs_are_refused_within_little_memory(tmp_path: Path) -> None:
    for name, content in BOMBS.items():
        (tmp_path / name).write_bytes(content)
    said = read_within_limit(*sorted(tmp_path.iterdir()))
    refused = {name for name in BOMBS if "read {}".format(tmp_path / name) in said}
    assert refused == set(BOMBS), said
    assert int(said.split()[-1]) < MOST_RESIDENT_KIB, said
