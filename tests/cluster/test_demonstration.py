# SPDX-License-Identifier: BSD-3-Clause
"""The README's demonstration from outside of a cluster: the network, in the image built for it, trains and predicts."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from container_engine import ROOT, NoEngine

from demo import example_of, image_of, network_of_the_readme

from .cluster import Cluster
from .installation import Installation

NETWORK = network_of_the_readme()
IMAGE = image_of(NETWORK)
SERVICE = IMAGE.removeprefix("dl4mic-")
EXAMPLE = ROOT / example_of(NETWORK)
QUICK = ("--preset", "quick", "--set", "epochs=2", "--set", "steps_per_epoch=10")
WITHOUT_GPU = ("--device", "cpu")
"""The image with CUDA is not built here."""

Type = Callable[..., str]


@pytest.fixture(scope="module")
def image(cluster: Cluster) -> None:
    """The network's image is on the cluster."""
    try:
        cluster.bring(IMAGE)
    except NoEngine as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="module")
def dl4mic(image: None, installation: Installation) -> Type:
    """The command line of a user outside of the cluster."""
    # A node of two cores has not the two that the network asks for.
    requests = f"services.{SERVICE}.resources.requests"
    installation.install("--set", f"{requests}.cpu=500m")

    def type_command(*words: str) -> str:
        command = [sys.executable, "-m", "dl4mic_client", *words]
        done = subprocess.run(
            command,
            env=installation.variables(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == 0, f"{done.stdout}\n{installation.told()}"
        return done.stdout

    return type_command


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the training's results are fetched to."""
    return tmp_path_factory.mktemp("results")


@pytest.fixture(scope="module")
def trained(dl4mic: Type, results: Path) -> str:
    """A model, and what its training said."""
    source, target = (str(EXAMPLE / "train" / part) for part in ("source", "target"))
    images = ("--source", source, "--target", target)
    made = ("--model", "demo", "--out", str(results))
    return dl4mic("train", NETWORK, *images, *made, *QUICK, *WITHOUT_GPU)


def test_two_epochs_are_trained(trained: str, dl4mic: Type) -> None:
    assert "demo:1" in trained
    assert NETWORK in dl4mic("model", "show", "demo")


def test_model_and_report_come_back_to_the_user(trained: str, results: Path) -> None:
    (weights,) = results.glob("model/weights_best*")
    assert weights.stat().st_size > 100_000
    assert json.loads((results / "model" / "model.json").read_text())["network"] == NETWORK
    assert (results / "report.pdf").read_bytes().startswith(b"%PDF")


def test_the_model_is_scored(trained: str, dl4mic: Type, tmp_path: Path) -> None:
    source, target = (str(EXAMPLE / "test" / part) for part in ("source", "target"))
    place = ("--source", source, "--target", target, "--out", str(tmp_path))
    dl4mic("qc", "demo", *place, *WITHOUT_GPU)
    assert {"qc.json", "report.pdf"} <= {path.name for path in tmp_path.iterdir()}


def test_the_model_predicts_every_image(trained: str, dl4mic: Type, tmp_path: Path) -> None:
    images = sorted((EXAMPLE / "predict").iterdir())
    place = ("--source", str(EXAMPLE / "predict"), "--out", str(tmp_path))
    dl4mic("predict", "demo", *place, *WITHOUT_GPU)
    made = sorted(tmp_path.glob("*.tif"))
    assert [path.stem for path in made] == [path.stem for path in images]
    for before, after in zip(images, made, strict=True):
        found = tifffile.imread(after)
        assert found.shape == tifffile.imread(before).shape
        assert np.issubdtype(found.dtype, np.integer)
