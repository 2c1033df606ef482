# SPDX-License-Identifier: BSD-3-Clause
"""A trained 2D model: how good it is, that the plain library opens it, and what it leaves of a folder of images."""

from __future__ import annotations

import csv
import json
import zipfile
from pathlib import Path
from typing import Any

import network as plugin
import numpy as np
import pytest
from framework import StarDist2D
from jobs import EXAMPLE, Job, make, reference
from stardist.matching import matching

from dl4mic_keras.framework import device_kernel, quiet, tf
from dl4mic_sdk.errors import DeviceError, ModelError
from dl4mic_sdk.images import Image, inspect, read, write
from dl4mic_sdk.normalisation import Normalisation
from dl4mic_sdk.task import ModelFolder

TEST = EXAMPLE / "stardist2d" / "test"


@pytest.fixture(scope="module")
def loaded(trained: Job) -> plugin.StarDist2DNetwork:
    return load(trained)


def load(job: Job, weights: str = "best", **parameters: Any) -> plugin.StarDist2DNetwork:
    network = plugin.StarDist2DNetwork(
        "stardist2d", {"object_table": True, "rois": True, **parameters}
    )
    network.load(ModelFolder.open("example:1", job.model, weights, "stardist2d"))
    return network


@pytest.fixture(scope="module")
def nuclei() -> Image:
    return read(TEST / "source" / "nuclei.tif")


@pytest.fixture(scope="module")
def plain(trained: Job) -> Any:
    """The model as somebody opens it who has the stardist library alone."""
    with quiet():
        return StarDist2D(None, name=trained.model.name, basedir=str(trained.model.parent))


def test_finds_most_nuclei_in_the_part_that_it_never_saw(loaded: Any, nuclei: Image) -> None:
    found = loaded.predict_image(nuclei).main[1].pixels
    truth = read(TEST / "target" / "nuclei.tif").pixels.astype(np.int32)
    assert matching(truth, found, thresh=0.5).f1 >= 0.7


def test_model_folder_is_that_of_the_library(trained: Job) -> None:
    names = {path.name for path in trained.model.iterdir()}
    assert names == {
        "config.json",
        "weights_best.h5",
        "weights_last.h5",
        "thresholds.json",
        "history.csv",
        "model.json",
    }
    config = json.loads((trained.model / "config.json").read_text())
    assert (config["grid"], config["n_rays"], config["train_patch_size"]) == (
        [2, 2],
        32,
        [128, 128],
    )


def test_plain_library_opens_it_and_predicts_the_same(
    loaded: Any, nuclei: Image, plain: Any
) -> None:
    ours = loaded.predict_image(nuclei).main[1].pixels
    theirs, _ = plain.predict_instances(Normalisation().apply(nuclei.pixels))
    np.testing.assert_array_equal(ours, theirs)


def test_thresholds_were_chosen(trained: Job, plain: Any) -> None:
    chosen = json.loads((trained.model / "thresholds.json").read_text())
    assert 0 < chosen["prob"] < 1
    assert chosen["nms"] in (0.3, 0.4, 0.5)
    assert plain.thresholds._asdict() == chosen


def test_thresholds_of_a_request_win(trained: Job, nuclei: Image) -> None:
    few, some, many = (
        load(trained, prob_threshold=each).predict_image(nuclei).main[1].pixels.max()
        for each in (0.95, 0.6, 0.2)
    )
    assert few < some < many


def test_tiles_leave_no_seam(trained: Job, loaded: Any, nuclei: Image) -> None:
    whole = loaded.predict_image(nuclei).main[1].pixels
    tiled = load(trained, tile=[200, 144]).predict_image(nuclei).main[1].pixels
    assert matching(whole, tiled, thresh=0.9).f1 == 1


def test_scale_gives_results_in_the_size_of_the_input(trained: Job, nuclei: Image) -> None:
    half = nuclei.with_pixels(nuclei.pixels[::2, ::2])
    truth = read(TEST / "target" / "nuclei.tif").pixels[::2, ::2].astype(np.int32)
    found = load(trained, scale=2.0).predict_image(half).main[1].pixels
    assert found.shape == half.pixels.shape
    assert matching(truth, found, thresh=0.5).f1 >= 0.5


def test_an_empty_image_has_no_objects(loaded: Any) -> None:
    prediction = loaded.predict_image(Image(np.zeros((70, 50), np.uint16), "YX", {}, "empty"))
    assert prediction.main[1].pixels.shape == (70, 50)
    assert len(prediction.tables["objects"].rows) == prediction.main[1].pixels.max() == 0


@pytest.fixture(scope="module")
def folder_job(trained: Job, nuclei: Image, tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A folder of a TIFF with pixel size, a PNG of odd size and a broken file, segmented."""
    source = tmp_path_factory.mktemp("source")
    sized = Image(nuclei.pixels[:301], "YX", {"Y": 0.5, "X": 0.5}, "sized")
    write(source / "sized.tif", sized)
    import imageio.v3 as imageio

    imageio.imwrite(source / "small.png", nuclei.pixels[:99, :131].astype(np.uint8))
    (source / "broken.tif").write_bytes(b"II*\0 no image")
    folder = tmp_path_factory.mktemp("predict")
    models = [reference(trained)]
    return make(folder, "predict", "stardist2d", source, models=models).run()


def test_folder_keeps_names_axes_and_pixel_size(folder_job: Job) -> None:
    info = inspect(folder_job.predictions / "sized.tif")
    assert (info.axes, info.shape, info.dtype) == ("YX", (301, 144), np.uint16)
    assert info.pixel_size == pytest.approx({"Y": 0.5, "X": 0.5})
    assert inspect(folder_job.predictions / "small.tif").shape == (99, 131)
    failed = [each for each in folder_job.events("warning") if each["code"] == "IMAGE_FAILED"]
    assert ["broken.tif" in each["message"] for each in failed] == [True]


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_folder_leaves_a_table_of_the_objects(folder_job: Job) -> None:
    rows = rows_of(folder_job.predictions / "sized_objects.csv")
    labels = read(folder_job.predictions / "sized.tif").pixels
    assert [int(row["label"]) for row in rows] == np.unique(labels)[1:].tolist()
    first = labels == int(rows[0]["label"])
    assert int(rows[0]["area_px"]) == first.sum()
    assert float(rows[0]["area_um2"]) == pytest.approx(first.sum() * 0.25)
    assert float(rows[0]["centroid_y_px"]) == pytest.approx(np.nonzero(first)[0].mean(), abs=1e-3)
    assert all(0 < float(row["probability"]) <= 1 for row in rows)
    assert "area_um2" not in rows_of(folder_job.predictions / "small_objects.csv")[0]


def test_folder_leaves_rois_by_label(folder_job: Job) -> None:
    labels = read(folder_job.predictions / "sized.tif").pixels
    with zipfile.ZipFile(folder_job.predictions / "sized_rois.zip") as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        assert names == [f"{label:05d}.roi" for label in np.unique(labels)[1:]]
        assert all(archive.read(name).startswith(b"Iout") for name in names)


def test_weights_can_be_chosen_and_missing_ones_are_named(trained: Job, nuclei: Image) -> None:
    load(trained, weights="last").predict_image(nuclei)
    with pytest.raises(ModelError, match=r"weights_epoch_00099\.h5") as caught:
        load(trained, weights="99")
    assert "weights_best.h5" in caught.value.hint


def test_damaged_weights_are_the_models_fault(trained: Job, tmp_path: Path) -> None:
    for path in trained.model.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "weights_best.h5").write_bytes(b"no weights")
    network = plugin.StarDist2DNetwork("stardist2d", {})
    with pytest.raises(ModelError, match=r"weights_best\.h5 is no sound HDF5 file"):
        network.load(ModelFolder.open("example:1", tmp_path, "best", "stardist2d"))


def test_device_kernel_runs_and_refuses_a_gpu_that_is_not_there() -> None:
    assert device_kernel("cpu").kind == "cpu"
    if tf.config.list_physical_devices("GPU"):
        pytest.skip("this machine has a GPU")
    with pytest.raises(DeviceError, match="TensorFlow sees none"):
        device_kernel("gpu")
