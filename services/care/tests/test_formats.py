# SPDX-License-Identifier: BSD-3-Clause
"""Models of the plain library come in and go out, and restore the same on either side."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import bundle
import numpy as np
import pytest
import tifffile
from jobs import Job, image_of, make, make_export, make_import, make_training, reference
from notebook_folder import LEARNING_RATE, as_notebook, difference
from plain_models import opened, pixels_of, restored_of, untrained

from dl4mic_sdk.errors import ModelError
from dl4mic_sdk.training import read_history


def restored_here(folder: Path, network: str, model: Job) -> np.ndarray:
    source = image_of(network).parent
    job = make(folder, "predict", network, source, models=[reference(model)]).run()
    return np.asarray(tifffile.imread(job.predictions / image_of(network).name))


@pytest.fixture(scope="module")
def notebook(trained: Job, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return as_notebook(trained.model, tmp_path_factory.mktemp("notebook") / "Bacteria 1")


def test_a_model_goes_out_as_a_folder_that_the_library_opens(trained: Job, tmp_path: Path) -> None:
    last = reference(trained, "last")
    job = make_export(tmp_path / "out", "care2d", last, "csbdeep").run()
    assert job.exported.name == "example-1-csbdeep.zip"
    with zipfile.ZipFile(job.exported) as packed:
        packed.extractall(tmp_path / "plain")
    (plain,) = (tmp_path / "plain").iterdir()
    assert {each.name for each in plain.iterdir()} == {
        "config.json", "weights_best.h5", "README.txt",
    }  # fmt: skip
    (theirs,) = restored_of(plain, pixels_of("care2d"), "YX")
    job = make(
        tmp_path / "here", "predict", "care2d", image_of("care2d").parent, models=[last]
    ).run()
    ours = tifffile.imread(job.predictions / image_of("care2d").name)
    assert difference(ours, theirs) < 1e-5


@pytest.mark.parametrize("packed", [False, True])
def test_a_notebooks_model_restores_what_the_library_restores(
    notebook: Path, tmp_path: Path, packed: bool
) -> None:
    source = notebook
    if packed:
        source = Path(shutil.make_archive(str(tmp_path / "m"), "zip", notebook.parent))
    job = make_import(tmp_path / "in", "care2d", source).run()
    (theirs,) = restored_of(notebook, pixels_of("care2d"), "YX")
    assert difference(restored_here(tmp_path / "here", "care2d", job), theirs) < 1e-5
    record = json.loads((job.model / "model.json").read_text())
    assert record["weights"] == ["best", "last"]
    assert record["parameters"]["percentile_low"] == 2.0
    assert record["channels"] == 1
    rates = [row["learning_rate"] for row in read_history(job.model)]
    assert rates == [0.0004, LEARNING_RATE, 0.0001]


def test_a_training_goes_on_from_a_notebooks_model_at_its_learning_rate(
    notebook: Path, tmp_path: Path
) -> None:
    parent = make_import(tmp_path / "in", "care2d", notebook).run()
    given = {"epochs": 1, "steps_per_epoch": 1, "batch_size": 1, "learning_rate": None}
    job = make_training(tmp_path / "t", "care2d", given=given, parent=reference(parent)).run()
    assert read_history(job.model)[0]["learning_rate"] == pytest.approx(LEARNING_RATE)


OF_NOTEBOOK = """{
  "n_dim": 2, "axes": "YXC", "n_channel_in": 1, "n_channel_out": 1, "train_checkpoint": "weights_best.h5",
  "train_checkpoint_last": "weights_last.h5", "train_checkpoint_epoch": "weights_now.h5", "probabilistic": true,
  "unet_residual": true, "unet_n_depth": 3, "unet_kern_size": 5, "unet_n_first": 32,
  "unet_last_activation": "linear", "unet_input_shape": [null, null, 1], "train_loss": "laplace",
  "train_epochs": 50, "train_steps_per_epoch": 31, "train_learning_rate": 0.0004, "train_batch_size": 64,
  "train_tensorboard": true, "train_reduce_lr": {"factor": 0.5, "patience": 10, "min_delta": 0}
}"""
"""The ``config.json`` that the CARE 2D notebook's csbdeep 0.7.4 writes."""


def test_the_configuration_that_the_notebook_writes_is_taken_as_it_is(tmp_path: Path) -> None:
    stored = json.loads(OF_NOTEBOOK)
    structure = {name: each for name, each in stored.items() if name.startswith("unet_n")}
    plain = untrained(tmp_path / "theirs", "YX", probabilistic=True, **structure)
    (plain / "config.json").write_text(OF_NOTEBOOK)
    job = make_import(tmp_path / "in", "care2d", plain).run()
    theirs = restored_of(plain, pixels_of("care2d"), "YX")
    assert difference(restored_here(tmp_path / "here", "care2d", job), theirs[0]) < 1e-5
    record = json.loads((job.model / "model.json").read_text())
    taken = {name: record["parameters"][name] for name in ("probabilistic", "unet_n_depth")}
    assert taken == {"probabilistic": True, "unet_n_depth": 3}


def test_a_3d_model_of_the_library_is_taken_as_it_is(tmp_path: Path) -> None:
    plain = untrained(tmp_path / "theirs", "ZYX", unet_n_first=4, unet_residual=False)
    job = make_import(tmp_path / "in", "care3d", plain).run()
    (theirs,) = restored_of(plain, pixels_of("care3d"), "ZYX")
    assert difference(restored_here(tmp_path / "here", "care3d", job), theirs) < 1e-5


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("other", "is of a model for 2D images, not for 3D"),
        ("code", r"weights_best\.h5 is no sound HDF5 file, but looks like a pickle"),
        ("none", r"no weights \(\*\.h5\)"),
    ],
)
def test_what_cannot_be_taken_is_refused_in_words(tmp_path: Path, damage: str, said: str) -> None:
    plain = untrained(tmp_path / "theirs", "YX", unet_n_first=2)
    if damage == "code":
        (plain / "weights_best.h5").write_bytes(b"\x80\x04")
    if damage == "none":
        (plain / "weights_best.h5").unlink()
    network = "care3d" if damage == "other" else "care2d"
    with pytest.raises(ModelError, match=said):
        make_import(tmp_path / "in", network, plain).run()


@pytest.mark.parametrize(
    ("network", "axes", "probabilistic"),
    [("care2d", "YX", False), ("care2d", "YX", True), ("care3d", "ZYX", False)],
)
def test_fijis_tensorflow_computes_what_the_model_computes(
    tmp_path: Path, network: str, axes: str, probabilistic: bool
) -> None:
    plain = untrained(tmp_path / "theirs", axes, unet_n_first=4, probabilistic=probabilistic)
    model = make_import(tmp_path / "in", network, plain).run()
    job = make_export(tmp_path / "out", network, reference(model), "fiji").run()
    meta = bundle.unpacked(job.exported, tmp_path / "bundle")
    assert (meta["type"], meta["axes"], meta["probabilistic"]) == (
        "CARE",
        axes + "C",
        probabilistic,
    )
    assert meta["axes_div_by"] == [4] * len(axes) + [1]
    shape = (1, *(8, 32, 48)[-len(axes) :], 1)
    pixels = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    ours = opened(plain).keras_model(pixels).numpy()
    theirs = bundle.answer(tmp_path / "bundle", pixels)
    np.testing.assert_allclose(theirs, ours, atol=1e-5)
