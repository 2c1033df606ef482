# SPDX-License-Identifier: BSD-3-Clause
"""Models of the plain library come in and go out, and predict the same on either side."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import bundle
import numpy as np
import pytest
import tifffile
from jobs import Job, image_of, make, make_export, make_import, make_training, quick, reference
from notebook_folder import LEARNING_RATE, as_notebook, difference
from plain_models import denoised, untrained

from dl4mic_sdk.errors import ModelError

ONE_STEP = {"epochs": 1, "steps_per_epoch": 1, "batch_size": 1, "learning_rate": None}


def imported(folder: Path, network: str, source: Path) -> Job:
    return make_import(folder, network, source).run()


def denoised_here(folder: Path, model: Job) -> np.ndarray:
    """Denoise the example's test image with a model of ours."""
    source = image_of("n2v2d").parent
    job = make(folder, "predict", "n2v2d", source, models=[reference(model)]).run()
    return np.asarray(tifffile.imread(job.predictions / "nuclei.tif"))


def unpacked(archive: Path, folder: Path) -> Path:
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(folder)
    (inside,) = folder.iterdir()
    return inside


def test_a_model_trained_here_opens_in_the_library_and_predicts_the_same(
    trained: Job, tmp_path: Path
) -> None:
    job = make_export(tmp_path / "out", "n2v2d", reference(trained), "n2v").run()
    assert job.exported.name == "example-1-n2v.zip"
    plain = unpacked(job.exported, tmp_path / "plain")
    assert {each.name for each in plain.iterdir()} == {
        "config.json", "weights_best.h5", "README.txt",
    }  # fmt: skip
    theirs = denoised(plain, tifffile.imread(image_of("n2v2d")), "YX")
    assert difference(denoised_here(tmp_path / "here", trained), theirs) < 1e-5


@pytest.mark.parametrize(("which", "axes"), [("trained", "YX"), ("trained_3d", "ZYX")])
def test_the_bundle_for_fiji_denoises_images_as_they_are_in_fijis_tensorflow(
    which: str, axes: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    model: Job = request.getfixturevalue(which)
    network = model.request["network"]
    job = make_export(tmp_path / "out", network, reference(model), "fiji").run()
    meta = bundle.unpacked(job.exported, tmp_path / "bundle")
    pixels = tifffile.imread(image_of(network))
    given = pixels[np.newaxis, ..., np.newaxis].astype(np.float32)
    divisors = [4] * len(axes) + [1]
    assert (meta["type"], meta["axes"], meta["axes_div_by"]) == ("N2V", axes + "C", divisors)
    found = bundle.answer(tmp_path / "bundle", given)[0, ..., 0]
    assert difference(found, denoised(model.model, pixels, axes)) < 1e-5


def test_the_weights_that_are_asked_for_go_out(trained: Job, tmp_path: Path) -> None:
    last = reference(trained, "last")
    job = make_export(tmp_path / "out", "n2v2d", last, "n2v").run()
    plain = unpacked(job.exported, tmp_path / "plain")
    sent = (plain / "weights_best.h5").read_bytes()
    assert sent == (trained.model / "weights_last.h5").read_bytes()


@pytest.mark.parametrize("packed", [False, True])
def test_a_notebooks_model_predicts_what_the_library_predicts(
    trained: Job, tmp_path: Path, packed: bool
) -> None:
    source = notebook = as_notebook(trained.model, tmp_path / "notebook" / "Grains 1")
    if packed:
        source = Path(shutil.make_archive(str(tmp_path / "m"), "zip", notebook.parent))
    job = imported(tmp_path / "in", "n2v2d", source)
    theirs = denoised(notebook, tifffile.imread(image_of("n2v2d")), "YX")
    assert difference(denoised_here(tmp_path / "here", job), theirs) < 1e-5
    record = json.loads((job.model / "model.json").read_text())
    assert record["weights"] == ["best", "last"]
    assert (record["parameters"]["unet_n_first"], record["axes"]) == (16, ["YX"])
    given = quick("n2v2d", **ONE_STEP)
    again = make_training(tmp_path / "t", "n2v2d", given=given, parent=reference(job)).run()
    config = json.loads((again.model / "config.json").read_text())
    assert (
        config["train_learning_rate"] == LEARNING_RATE
    )  # of the epoch of the lowest validation loss


@pytest.mark.parametrize("older", [(), ("blurpool", "skip_skipone", "structN2Vmask")])
def test_a_model_of_the_library_with_a_network_for_the_channel_is_taken(
    tmp_path: Path, older: tuple[str, ...]
) -> None:
    plain = untrained(tmp_path / "plain", single_net_per_channel=True)
    stored = json.loads((plain / "config.json").read_text())
    kept = {name: value for name, value in stored.items() if name not in older}
    (plain / "config.json").write_text(json.dumps(kept))
    job = imported(tmp_path / "in", "n2v2d", plain)
    (plain / "config.json").write_text(json.dumps(stored))
    theirs = denoised(plain, tifffile.imread(image_of("n2v2d")), "YX")
    assert difference(denoised_here(tmp_path / "here", job), theirs) < 1e-5


def test_a_3d_model_of_two_channels_comes_in_and_goes_out(tmp_path: Path) -> None:
    options = {"single_net_per_channel": False}
    plain = untrained(tmp_path / "plain", (1, 8, 8, 8, 2), **options)
    job = imported(tmp_path / "in", "n2v3d", plain)
    assert json.loads((job.model / "model.json").read_text())["channels"] == 2
    out = make_export(tmp_path / "out", "n2v3d", reference(job), "n2v").run()
    again = unpacked(out.exported, tmp_path / "again")
    assert (again / "weights_best.h5").read_bytes() == (plain / "weights_best.h5").read_bytes()
    assert "ZYXC" in (again / "README.txt").read_text()


def test_networks_for_each_of_several_channels_are_refused(tmp_path: Path) -> None:
    plain = untrained(tmp_path / "plain", (1, 16, 16, 2), single_net_per_channel=True)
    with pytest.raises(ModelError, match="shows every one of them the last channel"):
        imported(tmp_path / "in", "n2v2d", plain)


def test_the_library_shows_networks_for_each_channel_the_last_one(tmp_path: Path) -> None:
    """Why they are refused; should this fail with a later n2v, they can be taken."""
    plain = untrained(tmp_path / "plain", (1, 16, 16, 2), single_net_per_channel=True)
    image = np.random.default_rng(0).normal(100, 10, (16, 16, 2))
    changed = image.copy()
    changed[..., 0] += 50
    np.testing.assert_array_equal(denoised(plain, image, "YXC"), denoised(plain, changed, "YXC"))


def test_a_model_of_the_other_network_is_refused_with_its_name(tmp_path: Path) -> None:
    plain = untrained(tmp_path / "plain", (1, 8, 8, 8, 1))
    with pytest.raises(ModelError, match="3D images, not for 2D") as caught:
        imported(tmp_path / "in", "n2v2d", plain)
    assert caught.value.hint == "Use it with the network for 3D images."


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"unet_n_first": 10**9}, "unet_n_first is 1000000000"),
        ({"means": ["nan"]}, "means is"),
        ({"stds": ["1", "2"]}, "a number for each channel"),
        ({"train_loss": "exec"}, "train_loss cannot be as they are"),
        ({"n_channel_out": 2}, "n_channel_out"),
        ({"unet_n_depth": None}, "unet_n_depth is None"),
    ],
)
def test_a_configuration_that_cannot_be_is_refused(
    tmp_path: Path, change: dict[str, object], said: str
) -> None:
    plain = untrained(tmp_path / "plain")
    stored = json.loads((plain / "config.json").read_text())
    (plain / "config.json").write_text(json.dumps({**stored, **change}))
    with pytest.raises(ModelError, match=said):
        imported(tmp_path / "in", "n2v2d", plain)


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    plain = untrained(tmp_path / "plain")
    other = untrained(tmp_path / "other", unet_n_first=8)
    shutil.copyfile(other / "weights_best.h5", plain / "weights_best.h5")
    with pytest.raises(ModelError, match=r"does not fit config\.json"):
        imported(tmp_path / "in", "n2v2d", plain)
