# SPDX-License-Identifier: BSD-3-Clause
"""The 3D network from stack to label stack; trained too briefly to be judged."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from framework import StarDist3D
from jobs import EXAMPLE, Job, make, reference

from dl4mic_keras.framework import quiet
from dl4mic_sdk.images import inspect, read
from dl4mic_sdk.normalisation import Normalisation
from dl4mic_sdk.training import read_history

SOURCE = EXAMPLE / "stardist3d" / "predict"


@pytest.fixture(scope="module")
def segmented(trained_3d: Job, tmp_path_factory: pytest.TempPathFactory) -> Job:
    folder = tmp_path_factory.mktemp("predict")
    given = {"prob_threshold": 0.3}
    models = [reference(trained_3d)]
    return make(folder, "predict", "stardist3d", SOURCE, models=models, given=given).run()


def test_learns(trained_3d: Job) -> None:
    history = read_history(trained_3d.model)
    assert history[-1]["loss"] < 0.9 * history[0]["loss"]


def test_grid_and_anisotropy_come_from_the_objects(trained_3d: Job) -> None:
    config = json.loads((trained_3d.model / "config.json").read_text())
    assert config["grid"] == [1, 2, 2]
    assert config["anisotropy"][0] > 1.5
    assert config["anisotropy"][2] < 1.5


def test_segments_a_stack(segmented: Job) -> None:
    info = inspect(segmented.predictions / "nuclei_d.tif")
    assert (info.axes, info.dtype) == ("ZYX", np.uint16)
    assert info.shape == inspect(SOURCE / "nuclei_d.tif").shape
    labels = read(segmented.predictions / "nuclei_d.tif").pixels
    with (segmented.predictions / "nuclei_d_objects.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(np.unique(labels)) - 1 > 0
    assert set(rows[0]) >= {"centroid_z_px", "volume_px", "elongation", "probability"}
    assert all(0.3 < float(row["probability"]) <= 1 for row in rows)


def test_plain_library_predicts_the_same(trained_3d: Job, segmented: Job) -> None:
    with quiet():
        model = StarDist3D(None, name=trained_3d.model.name, basedir=str(trained_3d.model.parent))
        image = Normalisation().apply(read(SOURCE / "nuclei_d.tif").pixels)
        theirs, _ = model.predict_instances(image, prob_thresh=0.3, show_tile_progress=False)
    ours = read(segmented.predictions / "nuclei_d.tif").pixels
    np.testing.assert_array_equal(ours, theirs)
