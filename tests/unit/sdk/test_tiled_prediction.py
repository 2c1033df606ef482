# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, List, Set, Tuple

import numpy as np
import pytest
from scipy import ndimage

from dl4mic_sdk.errors import Stopped
from dl4mic_sdk.images import Image, ImageOnDisk, opened, write
from dl4mic_sdk.tiled_prediction import predict_tiled, tile_that_fits
from dl4mic_sdk.tiling import Tiling

REACH = 6
"""Pixels that `Convolution` looks around."""


class Convolution:
    """A network of one layer of a fixed reach, dark beyond the borders of what it is given, as real ones are."""

    def __init__(self) -> None:
        self.shapes: Set[Tuple[int, ...]] = set()

    def __call__(self, pixels: np.ndarray) -> List[np.ndarray]:
        self.shapes.add(pixels.shape)
        sizes = (2 * REACH + 1,) * (pixels.ndim - 1) + (1,)
        found = ndimage.uniform_filter(pixels.astype(np.float32), sizes, mode="constant")
        return [found, 2 * found[..., :1]]


def noise(shape: Tuple[int, ...], axes: str) -> Image:
    pixels = np.random.default_rng(0).integers(90, 110, shape).astype(np.uint16)
    return Image(pixels, axes, {"X": 0.5}, "noise")


@pytest.mark.parametrize(
    "shape, axes, tile, multiple",
    [((150, 131), "YX", (64, 48), (4, 4)), ((2, 90, 80), "CYX", (48, 48), (16, 8))]
    + [((40, 70, 50), "ZYX", (32, 48, 48), (2, 8, 8)), ((30, 2, 49, 50), "ZCYX", (48, 48), (1, 1, 1))],
)  # fmt: skip
def test_with_enough_context_the_result_is_that_of_the_whole_image(
    shape: Any, axes: str, tile: Any, multiple: Any
) -> None:
    image, kernel, overlap = noise(shape, axes), Convolution(), [2 * REACH + 3] * len(multiple)
    context = [REACH] * len(multiple)
    tiled = predict_tiled(kernel, image, tile, overlap, multiple, context)
    assert len(kernel.shapes) == 1
    whole = predict_tiled(Convolution(), image, None, overlap, multiple)
    for one, other in zip(tiled, whole):
        assert isinstance(one, Image) and isinstance(other, Image)
        assert (one.axes, one.pixels.dtype, one.name) == (other.axes, np.float32, "noise")
        np.testing.assert_allclose(one.pixels, other.pixels, rtol=1e-5)
    assert tiled[0].axes == axes and tiled[1].axes == axes.replace("C", "")


def jump(overlap: int) -> float:
    """Largest change from pixel to pixel where tiles meet, in units of what is usual."""
    image, arguments = noise((300, 300), "YX"), ((64, 64), (overlap,) * 2, (4, 4))
    found = predict_tiled(Convolution(), image, *arguments)[0]
    assert isinstance(found, Image)
    steps = np.abs(np.diff(found.pixels, axis=1)).mean(axis=0)
    parts = [each.place[1] for each in Tiling.of((300, 300), *arguments).tiles()]
    places = sorted({(each.start, each.stop) for each in parts})
    seams = [slice(b[0] - 1, a[1]) for a, b in zip(places, places[1:])]  # noqa: RUF007
    largest = [float(steps[each].max()) for each in seams]
    return max(largest) / float(np.median(steps))


def test_no_seam_shows_at_the_borders_of_tiles() -> None:
    assert jump(0) > 50  # what a seam is
    assert jump(2 * REACH) < 6  # of too little context: a slope
    assert jump(4 * REACH) < 1.4


def test_an_image_on_disk_gives_what_it_gives_in_memory(tmp_path: Path) -> None:
    image = noise((2, 90, 80), "CYX")
    write(tmp_path / "noise.tif", image)
    arguments: Any = ((32, 32), (16, 16), (4, 4))
    expected = predict_tiled(Convolution(), image, *arguments)
    with opened(tmp_path / "noise.tif") as stored:
        found = predict_tiled(Convolution(), stored, *arguments, scratch=tmp_path)
        for one, other in zip(found, expected):
            assert isinstance(one, ImageOnDisk) and isinstance(other, Image)
            assert (one.axes, one.shape, one.dtype) == (other.axes, other.pixels.shape, np.float32)
            np.testing.assert_array_equal(one.whole().pixels, other.pixels)
            part = one.read({"Y": slice(3, 9)})
            np.testing.assert_array_equal(part, other.pixels[..., 3:9, :])
            write(tmp_path / "result.tif", one)


def test_the_reading_of_an_image_on_disk_ends_with_the_job() -> None:
    def stop(region: Any) -> np.ndarray:
        raise Stopped

    image = ImageOnDisk("YX", (64, 64), np.dtype(np.uint8), {}, stop)
    with pytest.raises(Stopped):
        predict_tiled(Convolution(), image, (32, 32), (4, 4), (4, 4), scratch=Path())


def test_tiles_fit_into_the_memory_that_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dl4mic_sdk.free_memory.free_memory", lambda: 1 << 30)
    assert tile_that_fits((512, 512), 1000, (16, 16)) is None
    assert tile_that_fits((2000, 1000), 1000, (16, 16)) == (512, 1000)
    monkeypatch.setattr("dl4mic_sdk.free_memory.free_memory", lambda: 0)
    assert tile_that_fits((40, 40), 1e9, (16, 16)) == (16, 16)
    assert tile_that_fits((512, 512), 1e9, (16, 16), (100, 30)) == (256, 64)


MEASURE = """
import sys
from pathlib import Path
import numpy as np
from dl4mic_sdk.images import opened, write
from dl4mic_sdk.tiled_prediction import predict_tiled
for name in ("small", "large"):
    place = Path(sys.argv[1]) / name
    with opened(place / "image.tif") as image:
        kernel = lambda tile: [tile.astype(np.float32)]
        (found,) = predict_tiled(kernel, image, (256, 256), (32, 32), (4, 4), scratch=place)
        write(place / "result.tif", found)
    lines = Path("/proc/self/status").read_text().splitlines()
    print(next(line for line in lines if line.startswith("VmHWM")).split()[1])
"""


def test_memory_does_not_grow_with_an_image_on_disk(tmp_path: Path) -> None:
    if not Path("/proc/self/status").exists() or sys.version_info < (3, 9):
        pytest.skip("needs Linux, and a tifffile that writes by strips")
    for name, size in (("small", 1024), ("large", 4096)):
        (tmp_path / name).mkdir()
        write(tmp_path / name / "image.tif", Image(np.ones((size, size), np.uint16), "YX"))
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(each for each in sys.path if each))
    command = [sys.executable, "-c", MEASURE, str(tmp_path)]
    small, large = map(int, subprocess.check_output(command, env=environment).split())
    # In memory the result alone has 64 MiB.
    assert large - small < 12 * 1024, (small, large)
