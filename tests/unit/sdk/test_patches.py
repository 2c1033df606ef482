# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, List, Tuple

import numpy as np
import pytest

from dl4mic_sdk import pairs
from dl4mic_sdk.augment import Augmentation, FlipRotate, GaussianNoise, Intensity
from dl4mic_sdk.errors import DataError
from dl4mic_sdk.images import Image, write
from dl4mic_sdk.pairs import Item
from dl4mic_sdk.patches import PatchSampler, shows_object


def numbered(
    tmp_path: Path, count: int, axes: str = "YX", shape: Tuple[int, ...] = (40, 50)
) -> List[Item]:
    """Images whose pixels tell where they are from; targets are the images plus 1."""
    made = []
    for number in range(count):
        pixels = np.arange(np.prod(shape), dtype=np.uint32).reshape(shape) + 100_000 * number
        name = "{}.tif".format(number)
        for folder, add in (("images", 0), ("masks", 1)):
            (tmp_path / folder).mkdir(exist_ok=True)
            write(tmp_path / folder / name, Image(pixels + add, axes))
        paths = tmp_path / "images" / name, tmp_path / "masks" / name
        made.append(Item(str(number), paths[0], paths[1], axes, shape))
    return made


def test_image_and_target_show_the_same_pixels(tmp_path: Path) -> None:
    items = numbered(tmp_path, 3)
    for patch in PatchSampler(items, (8, 10), batch_size=30).batch(0):
        y, x = patch.start
        whole = patch.item.read_source().pixels
        np.testing.assert_array_equal(patch.source, whole[y : y + 8, x : x + 10])
        np.testing.assert_array_equal(patch.target, patch.source + 1)


def test_a_patch_depends_on_seed_and_number_alone(tmp_path: Path) -> None:
    items = numbered(tmp_path, 5)
    one = PatchSampler(items, (8, 8), batch_size=4, seed=7)
    resumed = PatchSampler(items, (8, 8), batch_size=4, seed=7)
    other = PatchSampler(items, (8, 8), batch_size=4, seed=8)
    first = [[each.start for each in one.batch(step)] for step in range(10)]
    assert [each.start for each in resumed.batch(6)] == first[6]
    assert [each.start for each in other.batch(6)] != first[6]
    with ThreadPoolExecutor(4) as pool:
        ahead = list(pool.map(lambda step: [each.start for each in resumed.batch(step)], range(10)))
    assert ahead == first
    assert len({each for batch in first for each in batch}) > 30


def test_every_image_is_used_before_any_is_used_again(tmp_path: Path) -> None:
    sampler = PatchSampler(numbered(tmp_path, 7), (8, 8))
    turns = [[sampler.patch(7 * turn + place).item.name for place in range(7)] for turn in range(4)]
    assert all(sorted(turn) == list("0123456") for turn in turns)
    assert len({tuple(turn) for turn in turns}) > 1


def test_the_whole_image_can_be_drawn(tmp_path: Path) -> None:
    sampler = PatchSampler(numbered(tmp_path, 1), (38, 49), batch_size=60)
    assert {each.start for each in sampler.batch(0)} == {(y, x) for y in range(3) for x in range(2)}


@pytest.mark.parametrize(
    "axes, shape, patch, expected",
    [
        ("ZYX", (6, 20, 20), (4, 8, 8), ("ZYX", (4, 8, 8))),
        ("ZYX", (6, 20, 20), (8, 8), ("YX", (8, 8))),
        ("CYX", (2, 20, 20), (8, 8), ("YXC", (8, 8, 2))),
        ("TZCYX", (2, 3, 2, 20, 20), (3, 8, 9), ("ZYXC", (3, 8, 9, 2))),
    ],
)
def test_axes_of_patches(tmp_path: Path, axes: str, shape: Any, patch: Any, expected: Any) -> None:
    drawn = PatchSampler(numbered(tmp_path, 1, axes, shape), patch).patch(0)
    assert (drawn.axes, drawn.source.shape) == expected
    assert len(drawn.start) == len(patch)
    np.testing.assert_array_equal(drawn.target, drawn.source + 1)


def test_measured_once_an_image_and_normalised(tmp_path: Path) -> None:
    seen = []

    def measure(image: Image) -> Tuple[float, float]:
        seen.append(image.name)
        return float(image.pixels.min()), 10.0

    sampler = PatchSampler(numbered(tmp_path, 2), (8, 8), batch_size=20, measure=measure)
    patches = sampler.batch(0)
    assert sorted(seen) == ["0", "1"]
    for patch in patches:
        y, x = patch.start
        assert patch.source.dtype == np.float32
        assert patch.source[0, 0] == pytest.approx((50 * y + x) / 10)


def speck(tmp_path: Path) -> List[Item]:
    """One object in the corner of a large image."""
    pixels = np.zeros((200, 200), np.uint8)
    pixels[100:130, 100:130] = 1
    write(tmp_path / "a.tif", Image(pixels, "YX"))
    return [Item("a", tmp_path / "a.tif", tmp_path / "a.tif", "YX", (200, 200))]


@pytest.mark.parametrize("share, least, most", [(1.0, 0.95, 1.0), (0.5, 0.4, 0.8), (0.0, 0.0, 0.3)])
def test_patches_with_objects_are_preferred(
    tmp_path: Path, share: float, least: float, most: float
) -> None:
    sampler = PatchSampler(speck(tmp_path), (32, 32), accept=shows_object, accept_share=share)
    shown = np.mean([bool(np.any(sampler.patch(number).target)) for number in range(200)])
    assert least <= shown <= most


def test_augmentation_gets_the_patch_and_its_own_draw(tmp_path: Path) -> None:
    def augment(source: Any, target: Any, axes: str, rng: np.random.Generator) -> Any:
        assert axes == "YX" and source.shape == target.shape == (8, 8)
        return source, np.full((1,), rng.random())

    draws = [
        PatchSampler(numbered(tmp_path, 1), (8, 8), augment=augment).patch(n).target
        for n in (0, 1, 0)
    ]
    assert draws[0] == draws[2] != draws[1]


def test_opened_images_are_bounded(tmp_path: Path, monkeypatch: Any) -> None:
    items = numbered(tmp_path, 6)
    reads: List[str] = []
    real = pairs.read

    def counted(path: Any, *more: Any) -> Image:
        reads.append(str(path))
        return real(path, *more)

    monkeypatch.setattr(pairs, "read", counted)
    image_bytes = 2 * 40 * 50 * 4
    roomy = PatchSampler(items, (8, 8), batch_size=60, cache_bytes=6 * image_bytes)
    roomy.batch(0)
    assert len(reads) == 12
    narrow = PatchSampler(items, (8, 8), batch_size=60, cache_bytes=2 * image_bytes)
    del reads[:]
    narrow.batch(0)
    assert len(reads) > 60


def test_images_smaller_than_a_patch_are_all_named(tmp_path: Path) -> None:
    items = numbered(tmp_path, 2) + [Item("big", Path("big.tif"), None, "YX", (64, 64))]
    with pytest.raises(
        DataError, match="2 of 3 images are smaller than a patch of 48 x 48"
    ) as caught:
        PatchSampler(items, (48, 48))
    assert caught.value.files[0] == (
        str(items[0].source),
        "is smaller (40 x 50) than a patch of 48 x 48",
    )


_DRAWN = """
import hashlib, json, sys
import numpy as np
from pathlib import Path
from dl4mic_sdk.augment import Augmentation, FlipRotate, GaussianNoise, Intensity
from dl4mic_sdk.pairs import Item
from dl4mic_sdk.patches import PatchSampler
from dl4mic_sdk.split import split
folder = Path(sys.argv[1])
paths = [(folder / "images" / n, folder / "masks" / n) for n in ("0.tif", "1.tif", "2.tif")]
items = [Item(str(k), s, t, "YX", (40, 50)) for k, (s, t) in enumerate(paths)]
train, validation, _ = split(items, 0.3, seed=5)
varied = Augmentation((FlipRotate(), Intensity(), GaussianNoise()))
sampler = PatchSampler(train, (16, 16), seed=5, augment=varied)
digest = hashlib.sha256()
for number in range(20):
    patch = sampler.patch(number)
    digest.update(patch.source.tobytes() + patch.target.tobytes())
print([each.name for each in validation], digest.hexdigest())
"""


def test_another_process_draws_the_same(tmp_path: Path) -> None:
    numbered(tmp_path, 3)
    drawn = {
        subprocess.run(
            [sys.executable, "-c", _DRAWN, str(tmp_path)],
            env=dict(os.environ, PYTHONHASHSEED=seed),
            stdout=subprocess.PIPE,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(drawn) == 1


def test_threads_draw_the_same_pixels_as_one_whatever_is_kept(tmp_path: Path) -> None:
    items = numbered(tmp_path, 5)
    options: Any = {"seed": 3, "measure": lambda image: (float(image.pixels.min()), 9.0)}
    options["augment"] = Augmentation((FlipRotate(), Intensity(), GaussianNoise()))
    alone = PatchSampler(items, (9, 12), **options)
    shared = PatchSampler(items, (9, 12), cache_bytes=1, **options)
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(shared.patch, range(60)))
    for number, patch in enumerate(together):
        np.testing.assert_array_equal(patch.source, alone.patch(number).source)
        np.testing.assert_array_equal(patch.target, alone.patch(number).target)
