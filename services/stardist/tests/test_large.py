# SPDX-License-Identifier: BSD-3-Clause
"""Large images tile by tile: the same objects as of the whole image, none cut or doubled at a seam."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import network as plugin
import numpy as np
import pytest
from framework import StarDist2D
from jobs import EXAMPLE, Job, make, reference
from rois import roi_zip
from scipy.ndimage import zoom
from tiled import Shelf, Tiling
from zoom import Zoom

from dl4mic_keras.framework import quiet
from dl4mic_sdk.images import Image, inspect, opened, read, write
from dl4mic_sdk.normalisation import Normalisation
from dl4mic_sdk.task import ModelFolder

SOURCE = EXAMPLE / "stardist2d" / "train" / "source" / "nuclei.tif"


def load(job: Job, **parameters: Any) -> plugin.StarDist2DNetwork:
    given = {"object_table": True, "rois": True, **parameters}
    network = plugin.StarDist2DNetwork("stardist2d", given)
    network.load(ModelFolder.open("example:1", job.model, "best", "stardist2d"))
    return network


@pytest.fixture(scope="module")
def wide() -> Image:
    """Nuclei on 900 x 1100 pixels, no two parts alike."""
    pixels = read(SOURCE).pixels
    pixels = np.pad(pixels, [(0, 900 - pixels.shape[0]), (0, 1100 - pixels.shape[1])], "symmetric")
    noise = np.random.default_rng(0).integers(0, 4, pixels.shape)
    return Image((pixels + noise).astype(np.uint16), "YX", {"Y": 0.5, "X": 0.5}, "wide")


def same_objects(one: np.ndarray, other: np.ndarray) -> tuple[int, int]:
    """How many objects both images have, and how many of them are the same but for two pixels."""
    pairs, sizes = np.unique(np.stack([one.ravel(), other.ravel()]), axis=1, return_counts=True)
    areas = np.bincount(one.ravel()), np.bincount(other.ravel())
    same = sum(
        int(max(areas[0][a], areas[1][b]) - size <= 2)
        for (a, b), size in zip(pairs.T, sizes)
        if a and b
    )
    counts = {len(np.unique(each)) - 1 for each in (one, other)}
    assert len(counts) == 1
    return counts.pop(), same


@pytest.mark.parametrize("scale", [1.0, 0.7, 1.3])
def test_the_objects_are_those_of_the_whole_image(trained: Job, wide: Image, scale: float) -> None:
    model = StarDist2D(None, name=trained.model.name, basedir=str(trained.model.parent))
    whole, _ = model.predict_instances(
        Normalisation().apply(wide.pixels), scale=None if scale == 1 else scale
    )
    tiled = load(trained, tile=[256, 208], scale=scale).predict_image(wide).main[1]
    assert isinstance(tiled, Image)
    count, same = same_objects(whole, tiled.pixels)
    assert count == same > 300 * scale


def test_context_that_is_too_narrow_still_doubles_nothing(trained: Job, wide: Image) -> None:
    network = load(trained, tile=[128, 128], tile_overlap=16)
    prediction = network.predict_image(wide)
    found = prediction.main[1]
    assert isinstance(found, Image)
    labels, rows = found.pixels, prediction.tables["objects"].rows
    assert len(rows) == len(np.unique(labels)) - 1
    outlines = network._segmenter.segment(wide).outlines
    assert outlines is not None
    centres = outlines.mean(axis=2)
    gaps = np.linalg.norm(centres[:, np.newaxis] - centres, axis=2)
    assert gaps[~np.eye(len(gaps), dtype=bool)].min() > 2


@pytest.fixture(scope="module")
def from_disk(trained: Job, wide: Image, tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A large image predicted as a job does it."""
    source = tmp_path_factory.mktemp("source")
    write(source / "wide.tif", wide)
    folder = tmp_path_factory.mktemp("predict")
    given = {"tile": [256, 256]}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dl4mic_sdk.folder_predict.LARGE_PIXELS", 1000)
        models = [reference(trained)]
        return make(folder, "predict", "stardist2d", source, models=models, given=given).run()


def test_labels_from_disk_are_those_from_memory(trained: Job, wide: Image, from_disk: Job) -> None:
    found = load(trained, tile=[256, 256]).predict_image(wide).main[1]
    assert isinstance(found, Image)
    path = from_disk.predictions / "wide.tif"
    np.testing.assert_array_equal(read(path).pixels, found.pixels)
    info = inspect(path)
    assert (info.axes, info.dtype, info.pixel_size["X"]) == ("YX", np.uint16, pytest.approx(0.5))
    names = sorted(each.name for each in from_disk.predictions.iterdir())
    assert names == ["wide.tif", "wide_objects.csv", "wide_rois.zip"]


def test_table_and_regions_from_disk_are_those_from_memory(
    trained: Job, wide: Image, from_disk: Job
) -> None:
    prediction = load(trained, tile=[256, 256]).predict_image(wide)
    with (from_disk.predictions / "wide_objects.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    table = prediction.tables["objects"]
    assert header == list(table.columns) and len(rows) == len(table.rows) > 300
    np.testing.assert_allclose(np.array(rows, float), np.array(table.rows, float), atol=2e-3)
    with zipfile.ZipFile(from_disk.predictions / "wide_rois.zip") as archive:
        assert archive.testzip() is None
        assert [int(name[:-4]) for name in archive.namelist()] == [int(row[0]) for row in rows]


def test_an_empty_large_image_has_no_objects(trained: Job, tmp_path: Path) -> None:
    write(tmp_path / "dark.tif", Image(np.full((700, 600), 7, np.uint16), "YX"))
    network, scratch = load(trained, tile=[256, 256]), tmp_path / "scratch"
    scratch.mkdir()
    with opened(tmp_path / "dark.tif") as image:
        prediction = network.predict_large(image, scratch)
        assert prediction is not None
        assert prediction.main[1].whole().pixels.max() == 0  # type: ignore[union-attr]
    header, *rows = (scratch / "objects.csv").read_text().splitlines()
    assert header.startswith("label,centroid_y_px") and rows == []


def test_an_image_for_one_tile_is_left_to_the_whole(trained: Job, tmp_path: Path) -> None:
    write(tmp_path / "small.tif", Image(np.zeros((100, 120), np.uint16), "YX"))
    with opened(tmp_path / "small.tif") as image:
        assert load(trained).predict_large(image, tmp_path) is None


@pytest.mark.parametrize("factor", [0.5, 0.83, 1.7])
def test_a_part_of_the_enlarged_is_that_of_the_whole(factor: float) -> None:
    pixels = np.random.default_rng(1).normal(size=(61, 47)).astype(np.float32)
    whole = zoom(pixels, factor, order=1)
    seen = Zoom(pixels.shape, factor)
    assert seen.shape == whole.shape
    part = (slice(3, 24), slice(10, whole.shape[1]))
    np.testing.assert_allclose(
        seen.reading(pixels.__getitem__)(part), whole[part], rtol=1e-5, atol=1e-5
    )


def test_tiles_cover_an_image_once(trained: Job) -> None:
    with quiet():
        model = StarDist2D(None, name=trained.model.name, basedir=str(trained.model.parent))
    tiling = Tiling.of(model, (1000, 700), (3, 2), None)
    seen = np.zeros((1000, 700), int)
    for index in tiling:
        seen[tiling.core(index)] += 1
        assert all(part.start % 16 == 0 for part in tiling.seen(index))
    assert (seen == 1).all()


def test_what_is_dropped_from_a_shelf_is_gone(tmp_path: Path) -> None:
    for shelf in (Shelf(), Shelf(tmp_path)):
        shelf.put("kind", (1, 2), np.arange(3))
        assert shelf.get("kind", (1, 2)).tolist() == [0, 1, 2]
        shelf.drop("kind", (1, 2))
        with pytest.raises((KeyError, FileNotFoundError)):
            shelf.get("kind", (1, 2))
    assert not list(tmp_path.iterdir())


def test_regions_know_their_plane() -> None:
    outline = np.zeros((1, 2, 8), np.float32)
    record = {}
    for position in ({}, {"T": 4}, {"T": 4, "Z": 2}):
        (tmp,) = _entries(roi_zip(outline, [7], position))
        record[len(position)] = tmp
    assert record[0][56:64] == bytes(8)
    assert int.from_bytes(record[1][56:60], "big") == 5
    second = int.from_bytes(record[2][60:64], "big")
    plane = [int.from_bytes(record[2][second + at : second + at + 4], "big") for at in (4, 8, 12)]
    assert plane == [1, 3, 5] and len(record[2]) == second + 64


def _entries(content: bytes) -> list[bytes]:
    import io

    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return [archive.read(name) for name in archive.namelist()]


MEASURE = """
import sys
sys.path[:0] = [sys.argv[1], sys.argv[1] + "/tests"]
from pathlib import Path
import network as plugin
from dl4mic_sdk.images import opened
from dl4mic_sdk.task import ModelFolder
model, place = Path(sys.argv[2]), Path(sys.argv[3])
network = plugin.StarDist2DNetwork(
    "stardist2d", {"object_table": True, "rois": True, "tile": [256, 256]}
)
network.load(ModelFolder.open("example:1", model, "best", "stardist2d"))
for name in ("small", "large"):
    (place / name).mkdir()
    with opened(place / (name + ".tif")) as image:
        assert network.predict_large(image, place / name) is not None
    lines = Path("/proc/self/status").read_text().splitlines()
    print(next(line for line in lines if line.startswith("VmHWM")).split()[1])
"""


def test_memory_does_not_grow_with_the_image(trained: Job, wide: Image, tmp_path: Path) -> None:
    pixels = wide.pixels[:512, :512]
    for name, times in (("small", 2), ("large", 4)):
        write(tmp_path / (name + ".tif"), Image(np.tile(pixels, (times, times)), "YX"))
    service = str(Path(plugin.__file__).parent)
    command = [sys.executable, "-c", MEASURE, service, str(trained.model), str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(each for each in sys.path if each)}
    said = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    small, large = map(int, said.stdout.split())
    # Four times the pixels; held in memory, the labels and the normalised image alone would add 24 MiB.
    assert large - small < 16 * 1024, (small, large)
