# SPDX-License-Identifier: BSD-3-Clause
"""Models of the plain library come in and go out, and predict the same on either side."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from jobs import Job, image_of, make, make_export, make_import, make_training, quick, reference
from notebook_folder import LEARNING_RATE, as_notebook
from plain_models import (
    BRUCE,
    labels_of,
    opened,
    untrained_2d,
    untrained_3d,
)

from dl4mic_sdk.errors import ModelError

ONE_STEP = {
    "epochs": 1,
    "steps_per_epoch": 1,
    "batch_size": 1,
    "largest_patch": [64, 64],
    "optimise_thresholds": False,
    "learning_rate": None,
}


def imported(folder: Path, network: str, source: Path, **options: Any) -> Job:
    return make_import(folder, network, source, **options).run()


def labels_here(folder: Path, network: str, model: Job) -> np.ndarray:
    """Segment the example's test image with a model of ours."""
    source = image_of(network).parent
    job = make(folder, "predict", network, source, models=[reference(model)]).run()
    return np.asarray(tifffile.imread(job.predictions / image_of(network).name))


def unpacked(archive: Path, folder: Path) -> Path:
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(folder)
    (inside,) = folder.iterdir()
    return inside


def same_objects(ours: np.ndarray, theirs: np.ndarray) -> bool:
    """Whether two label images agree up to the numbers of their objects."""
    pairs = np.unique(np.stack([ours.ravel(), theirs.ravel()]), axis=1)
    return pairs.shape[1] == len(np.unique(ours)) == len(np.unique(theirs))


@pytest.fixture(scope="module")
def notebook(trained: Job, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return as_notebook(trained.model, tmp_path_factory.mktemp("notebook") / "Nuclei 1")


def test_a_model_trained_here_opens_in_the_library_and_predicts_the_same(
    trained: Job, tmp_path: Path
) -> None:
    job = make_export(tmp_path / "out", "stardist2d", reference(trained), "stardist").run()
    assert job.exported.name == "example-1-stardist.zip"
    plain = unpacked(job.exported, tmp_path / "plain")
    assert {each.name for each in plain.iterdir()} == {
        "config.json", "thresholds.json", "weights_best.h5", "README.txt",
    }  # fmt: skip
    theirs = labels_of(plain, image_of("stardist2d"))
    assert theirs.max() > 5
    assert same_objects(labels_here(tmp_path / "here", "stardist2d", trained), theirs)


def test_the_weights_that_are_asked_for_go_out(trained: Job, tmp_path: Path) -> None:
    last = reference(trained, "last")
    job = make_export(tmp_path / "out", "stardist2d", last, "stardist").run()
    plain = unpacked(job.exported, tmp_path / "plain")
    sent = (plain / "weights_best.h5").read_bytes()
    assert sent == (trained.model / "weights_last.h5").read_bytes()


@pytest.mark.parametrize("packed", ["", "in its folder", "flat, as pretrained ones are"])
def test_a_notebooks_model_predicts_what_the_library_predicts(
    notebook: Path, tmp_path: Path, packed: str
) -> None:
    source = notebook
    if packed:
        root = notebook.parent if packed == "in its folder" else notebook
        source = Path(shutil.make_archive(str(tmp_path / "m"), "zip", root))
    job = imported(tmp_path / "in", "stardist2d", source)
    ours = labels_here(tmp_path / "here", "stardist2d", job)
    theirs = labels_of(notebook, image_of("stardist2d"))
    assert theirs.max() > 5 and same_objects(ours, theirs)
    record = json.loads((job.model / "model.json").read_text())
    assert record["weights"] == ["best", "last"]
    assert record["data"] == {"summary": "unknown"}
    assert (record["parameters"]["n_rays"], record["parameters"]["grid"]) == (32, [2, 2])
    assert record["origin"]["file"] == source.name


def test_qc_of_an_imported_model_claims_nothing_of_its_training(
    notebook: Path, tmp_path: Path
) -> None:
    job = imported(tmp_path / "in", "stardist2d", notebook)
    test = image_of("stardist2d").parent
    options = {"target": test.with_name("target"), "models": [reference(job)]}
    scored = make(tmp_path / "qc", "qc", "stardist2d", test, **options).run()
    assert (scored.folder / "artifacts" / "report.pdf").exists()
    pooled = json.loads((scored.folder / "artifacts" / "qc.json").read_text())["pooled"]
    assert pooled


def test_a_training_goes_on_from_a_notebooks_model_at_its_learning_rate(
    notebook: Path, tmp_path: Path
) -> None:
    job = imported(tmp_path / "in", "stardist2d", notebook)
    given = quick("stardist2d", **ONE_STEP)
    again = make_training(tmp_path / "t", "stardist2d", given=given, parent=reference(job)).run()
    config = json.loads((again.model / "config.json").read_text())
    assert (
        config["train_learning_rate"] == LEARNING_RATE
    )  # of the epoch of the lowest validation loss


def test_a_training_goes_on_from_a_model_without_a_loss_record(tmp_path: Path) -> None:
    job = imported(tmp_path / "in", "stardist2d", untrained_2d(tmp_path / "plain"))
    given = quick("stardist2d", **ONE_STEP)
    again = make_training(tmp_path / "t", "stardist2d", given=given, parent=reference(job)).run()
    config = json.loads((again.model / "config.json").read_text())
    assert (config["train_learning_rate"], config["n_rays"]) == (0.0003, 8)


def test_weights_in_the_form_of_keras_3_are_taken(tmp_path: Path) -> None:
    plain = untrained_2d(tmp_path / "plain")
    model = opened(plain)
    model.keras_model.save_weights(str(plain / "weights_best.weights.h5"))
    (plain / "weights_best.h5").unlink()
    job = imported(tmp_path / "in", "stardist2d", plain)
    for theirs, ours in zip(
        model.keras_model.get_weights(), opened(job.model).keras_model.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


def test_a_model_without_thresholds_is_warned_of(tmp_path: Path) -> None:
    plain = untrained_2d(tmp_path / "plain")
    (plain / "thresholds.json").unlink()
    job = imported(tmp_path / "in", "stardist2d", plain)
    (warning,) = job.events("warning")
    assert warning["code"] == "NO_THRESHOLDS" and "0.5" in warning["message"]


def test_a_3d_model_comes_in_and_goes_out(tmp_path: Path) -> None:
    plain = untrained_3d(tmp_path / "plain")
    job = imported(tmp_path / "in", "stardist3d", plain)
    out = make_export(tmp_path / "out", "stardist3d", reference(job), "stardist").run()
    again = unpacked(out.exported, tmp_path / "again")
    assert (again / "weights_best.h5").read_bytes() == (plain / "weights_best.h5").read_bytes()
    assert json.loads((again / "config.json").read_text())["rays_json"]["kwargs"]["n"] == 8


def test_the_percentiles_of_the_training_can_be_told(tmp_path: Path) -> None:
    plain = untrained_2d(tmp_path / "plain")
    given = {"percentile_low": 3.0, "percentile_high": 97.0}
    job = imported(tmp_path / "in", "stardist2d", plain, given=given)
    parameters = json.loads((job.model / "model.json").read_text())["parameters"]
    assert {name: parameters[name] for name in given} == given


def test_a_model_of_the_other_network_is_refused_with_its_name(tmp_path: Path) -> None:
    plain = untrained_3d(tmp_path / "plain")
    with pytest.raises(ModelError, match="3D images, not for 2D") as caught:
        imported(tmp_path / "in", "stardist2d", plain)
    assert caught.value.hint == "Use it with the network for 3D images."


def test_a_model_of_other_people(tmp_path: Path) -> None:
    source = BRUCE / "stardist2d_bruce_psyn"
    if not source.is_dir():
        pytest.skip(f"there is no {source}")
    job = imported(tmp_path / "in", "stardist2d", source)
    ours = labels_here(tmp_path / "here", "stardist2d", job)
    assert same_objects(ours, labels_of(source, image_of("stardist2d")))
    thresholds = json.loads((job.model / "thresholds.json").read_text())
    assert thresholds == {"prob": 0.49258820410422854, "nms": 0.5}
