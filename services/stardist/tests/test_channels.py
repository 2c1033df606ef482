# SPDX-License-Identifier: BSD-3-Clause
"""Several channels, several frames: a model knows its channels, a series keeps its axes."""

from __future__ import annotations

import csv
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jobs import EXAMPLE, Job, make, make_export, make_import, reference
from stardist.models import StarDist2D

from dl4mic_sdk.errors import DataError
from dl4mic_sdk.images import Image, inspect, read, write
from dl4mic_sdk.normalisation import Normalisation

TRAIN = EXAMPLE / "stardist2d" / "train"
SMALL = {
    "epochs": 1,
    "steps_per_epoch": 4,
    "batch_size": 2,
    "patch_size": [64, 64],
    "unet_n_filter_base": 8,
    "net_conv_after_unet": 16,
    "unet_n_depth": 2,
    "n_rays": 16,
}


@pytest.fixture(scope="module")
def two_channels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example with a second channel, its negative, ten times as bright."""
    folder = tmp_path_factory.mktemp("channels")
    one = read(TRAIN / "source" / "nuclei.tif").pixels
    both = np.stack([one, 10 * (one.max() - one)]).astype(np.uint16)
    write(folder / "nuclei.tif", Image(both, "CYX"))
    return folder


@pytest.fixture(scope="module")
def of_two(two_channels: Path, tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A model that learned from both channels, briefly."""
    return train(tmp_path_factory.mktemp("train"), two_channels)


def train(folder: Path, source: Path, **options: Any) -> Job:
    given = {**SMALL, **options.pop("given", {})}
    target = TRAIN / "target"
    return make(folder, "train", "stardist2d", source, target=target, given=given, **options).run()


def predict(folder: Path, model: Job, source: Path, **given: Any) -> Job:
    models = [reference(model)]
    return make(folder, "predict", "stardist2d", source, models=models, given=given).run()


def test_a_model_learns_from_all_channels_and_says_so(of_two: Job) -> None:
    (warning,) = [each for each in of_two.events("warning") if each["code"] == "CHANNELS"]
    assert "all 2 channels" in warning["message"] and "channel=0" in warning["message"]
    model = StarDist2D(None, name=of_two.model.name, basedir=str(of_two.model.parent))
    assert model.config.n_channel_in == 2


def test_prediction_of_channels_is_that_of_the_library(
    of_two: Job, two_channels: Path, tmp_path: Path
) -> None:
    job = predict(tmp_path, of_two, two_channels, prob_threshold=0.05)
    model = StarDist2D(None, name=of_two.model.name, basedir=str(of_two.model.parent))
    pixels = read(two_channels / "nuclei.tif").pixels
    seen = np.stack([Normalisation().apply(each) for each in pixels], axis=-1)
    theirs, _ = model.predict_instances(seen, prob_thresh=0.05)
    ours = read(job.predictions / "nuclei.tif")
    assert ours.axes == "YX"
    np.testing.assert_array_equal(ours.pixels, theirs)
    with (job.predictions / "nuclei_objects.csv").open(newline="") as file:
        columns = next(csv.reader(file))
    assert {"mean_intensity_c0", "mean_intensity_c1"} <= set(columns) or theirs.max() == 0


def test_tiles_of_channels_are_those_of_the_whole(
    of_two: Job, two_channels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dl4mic_sdk.folder_predict.LARGE_PIXELS", 1000)
    whole = predict(tmp_path / "whole", of_two, two_channels, prob_threshold=0.05)
    tiled = predict(tmp_path / "tiled", of_two, two_channels, prob_threshold=0.05, tile=[192, 192])
    one, other = (read(each.predictions / "nuclei.tif").pixels for each in (whole, tiled))
    assert len(np.unique(one)) == len(np.unique(other))
    assert np.count_nonzero((one > 0) != (other > 0)) <= one.size / 1e4


def test_another_number_of_channels_is_refused_by_name(
    of_two: Job, trained: Job, two_channels: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"nuclei\.tif has 1 channel, but model \S+ takes 2"):
        predict(tmp_path / "few", of_two, TRAIN / "source")
    with pytest.raises(DataError, match=r"has 2 channels, but model \S+ takes 1") as many:
        predict(tmp_path / "many", trained, two_channels)
    assert "channel=0 to channel=1" in many.value.hint
    job = predict(tmp_path / "one", trained, two_channels, channel=0)
    assert read(job.predictions / "nuclei.tif").pixels.max() > 50


def test_a_parent_of_other_channels_is_refused(
    of_two: Job, trained: Job, two_channels: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"has 2 channels, but model \S+ takes 1") as one:
        train(tmp_path / "one", two_channels, parent=reference(trained))
    assert "channel=0 to channel=1" in one.value.hint
    with pytest.raises(DataError, match=r"has 1 channel, but model \S+ takes 2"):
        train(tmp_path / "two", TRAIN / "source", parent=reference(of_two))


@pytest.mark.parametrize("form", ["stardist", "bioimageio"])
def test_a_model_of_channels_goes_out_and_comes_back_the_same(
    form: str, of_two: Job, two_channels: Path, tmp_path: Path
) -> None:
    out = make_export(tmp_path / "out", "stardist2d", reference(of_two), form).run()
    back = make_import(tmp_path / "back", "stardist2d", out.exported).run()
    jobs = [
        predict(tmp_path / name, each, two_channels, prob_threshold=0.05)
        for name, each in {"ours": of_two, "theirs": back}.items()
    ]
    ours, theirs = (read(each.predictions / "nuclei.tif").pixels for each in jobs)
    assert ours.max() > 0
    np.testing.assert_array_equal(ours, theirs)
    with pytest.raises(DataError, match=r"has 1 channel, but model \S+ takes 2"):
        predict(tmp_path / "few", back, TRAIN / "source")


def test_a_time_series_keeps_its_axes(trained: Job, tmp_path: Path) -> None:
    source = EXAMPLE / "stardist2d" / "series"
    job = predict(tmp_path, trained, source, prob_threshold=0.3)
    labels = read(job.predictions / "epidermis.tif")
    assert (labels.axes, labels.pixels.shape) == ("TYX", inspect(source / "epidermis.tif").shape)
    numbers = [set(np.unique(frame)) - {0} for frame in labels.pixels]
    assert all(numbers) and not numbers[0] & numbers[1] and not numbers[1] & numbers[2]
    with (job.predictions / "epidermis_objects.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["frame"] for row in rows} == {"0", "1", "2"}
    assert {int(row["label"]) for row in rows} == set.union(*numbers)
    with zipfile.ZipFile(job.predictions / "epidermis_rois.zip") as archive:
        places = {int(name[:-4]): archive.read(name)[56:60] for name in archive.namelist()}
    assert {int(row["label"]): int(row["frame"]) + 1 for row in rows} == {
        label: int.from_bytes(place, "big") for label, place in places.items()
    }
    with (job.predictions / "epidermis_spots.csv").open(newline="") as file:
        assert [int(row["ID"]) for row in csv.DictReader(file)] == [int(r["label"]) for r in rows]
