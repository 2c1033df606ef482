# SPDX-License-Identifier: BSD-3-Clause
"""A training that is only tried: what it measures, what it leaves, and a network that cannot be tried."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, List, Mapping

import numpy as np
import pytest

from dl4mic_sdk import images, rehearsal, trial, verbs
from dl4mic_sdk.context import Context
from dl4mic_sdk.device import Device
from dl4mic_sdk.errors import SdkError
from dl4mic_sdk.events import EventWriter, read_events
from dl4mic_sdk.network import Network
from dl4mic_sdk.patches import Patch, PatchSampler
from dl4mic_sdk.report_notes import note_choices
from dl4mic_sdk.task import TrainTask
from dl4mic_sdk.training import Learner, Schedule, train
from dl4mic_sdk.trial import Trial

SCHEDULE = Schedule(epochs=20, steps_per_epoch=50, batch_size=2, checkpoint_every=5)
MANIFEST: Mapping[str, Any] = {
    "title": "Means",
    "task": "restoration",
    "supervision": "paired_images",
    "axes": ["YX"],
    "service": "means",
    "version": "0.1.0",
    "packages": [],
    "licence": "BSD-3-Clause",
    "parameters": {"epochs": {"help": "Rounds."}, "patch_size": {"help": "Size.", "unit": "px"}},
    "presets": {},
}


class MeanLearner(Learner[List[Patch]]):
    """Learns the mean of what it is shown."""

    weights_suffix = ".npy"

    def __init__(self, sampler: PatchSampler) -> None:
        self.sampler = sampler
        self.mean = 0.0
        self.steps = 0

    def batch(self, step: int) -> List[Patch]:
        return self.sampler.batch(step)

    def train_step(self, batch: List[Patch]) -> Mapping[str, float]:
        self.steps += 1
        self.mean = float(np.mean([each.source for each in batch]))
        return {"loss": self.mean}

    def validate(self) -> Mapping[str, float]:
        return {"val_loss": self.mean}

    @property
    def learning_rate(self) -> float:
        return 1.0

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        raise AttributeError(value)

    def save_weights(self, path: Path) -> None:
        path.write_text(str(self.mean), encoding="utf-8")

    def load_weights(self, path: Path) -> None:
        self.mean = float(path.read_text(encoding="utf-8"))

    def save_state(self, folder: Path) -> None:
        self.save_weights(folder / "state")

    def load_state(self, folder: Path) -> None:
        self.load_weights(folder / "state")


class Means(Network):
    """Trains by the SDK's loop."""

    epochs = 0

    def train(self, task: TrainTask, ctx: Context) -> None:
        note_choices(ctx.attempt_folder, {"patch_size": [16, 16]})
        self.learner = MeanLearner(PatchSampler(task.train, (16, 16), batch_size=2))
        train(self.learner, SCHEDULE, task.model, ctx)
        (task.model / "thresholds").write_text((task.model / "weights_best.npy").read_text())

    def load(self, model: Any) -> None:
        raise AssertionError("there is no model")

    def predict_image(self, image: Any) -> Any:
        raise AssertionError("there is no model")


class Own(Means):
    """Trains by a loop of its own."""

    def train(self, task: TrainTask, ctx: Context) -> None:
        for epoch in range(1, 1000):
            self.epochs = epoch
            ctx.metric("loss", 0.0, epoch)


class Silent(Means):
    """Trains by a loop of its own, and says nothing."""

    def train(self, task: TrainTask, ctx: Context) -> None:
        (task.model / "weights_best").write_text("")


@pytest.fixture
def ctx(tmp_path: Path) -> Context:
    folder = tmp_path / "job" / "1"
    (folder / "artifacts").mkdir(parents=True)
    return Context(folder, EventWriter(folder), Device("cpu", "test processor"))


def request(tmp_path: Path) -> Mapping[str, Any]:
    for kind in ("source", "target"):
        for name in ("a", "b", "c"):
            pixels = np.random.default_rng([7, ord(name)]).integers(0, 99, (32, 40))
            path = tmp_path / kind / (name + ".tif")
            path.parent.mkdir(exist_ok=True)
            images.write(path, images.Image(pixels.astype(np.uint16), "YX"))
    data = {
        "supervision": "paired_images",
        "source": str(tmp_path / "source"),
        "target": str(tmp_path / "target"),
        "axes": "",
        "class_names": [],
    }
    return {
        "job_id": "try",
        "verb": "train",
        "dry_run": True,
        "network": "means",
        "preset": "default",
        "parameters": {
            "epochs": 20,
            "patch_size": None,
            "split": "image",
            "validation_fraction": 0.34,
        },
        "given": ["epochs"],
        "data": data,
        "validation": None,
        "model_name": "mine",
        "parent": None,
        "previous": None,
        "manifest": MANIFEST,
    }


def tried(network: Network, tmp_path: Path, ctx: Context) -> Mapping[str, Any]:
    asked = request(tmp_path)
    verbs.train(asked, verbs.check(asked, ctx), network, ctx)
    found: Mapping[str, Any] = json.loads((ctx.artifacts / "dry-run.json").read_text())
    return found


def test_it_says_what_would_be_trained_and_makes_no_model(tmp_path: Path, ctx: Context) -> None:
    network = Means("means", {})
    found = tried(network, tmp_path, ctx)
    assert network.learner.steps == trial.WARM_UP_STEPS + rehearsal.MOST_STEPS
    assert found["images"] == {"training": 2, "validation": 1}
    assert found["schedule"]["steps"] == 1000 and found["schedule"]["patches"] == 2000
    settings = {each["name"]: (each["value"], each["origin"]) for each in found["parameters"]}
    assert settings["patch_size"] == ([16, 16], "network")
    assert settings["epochs"] == (20, "request")
    assert found["split"]["mode"] == "image"
    assert not (ctx.artifacts / "model").exists() and not (ctx.attempt_folder / "trial").exists()
    assert not (ctx.attempt_folder / "checkpoints").exists()


def test_it_leaves_a_picture_and_a_report(tmp_path: Path, ctx: Context) -> None:
    assert tried(Means("means", {}), tmp_path, ctx)["examples"] == "examples.png"
    assert (ctx.artifacts / "examples.png").read_bytes().startswith(b"\x89PNG")
    assert (ctx.artifacts / "report.pdf").read_bytes().startswith(b"%PDF")
    events = [event for _, event in read_events(ctx.attempt_folder)]
    announced = {each["artifact"]["path"] for each in events if "artifact" in each}
    assert announced == {"examples.png", "report.pdf", "dry-run.json"}
    assert not any("metric" in each or "checkpoint" in each for each in events)


def test_time_and_memory_are_measured(tmp_path: Path, ctx: Context) -> None:
    found = tried(Means("means", {}), tmp_path, ctx)
    assert found["measured"]["steps"] == rehearsal.MOST_STEPS
    assert found["measured"]["finishing_seconds"] > 0
    low, high = (found["estimate"][each + "_seconds"] for each in ("shortest", "longest"))
    assert 0 < low < found["estimate"]["seconds"] < high
    assert found["estimate"]["memory_bytes"] > 10_000_000
    assert found["estimate"]["device_memory_bytes"] is None


@pytest.mark.parametrize("kind", [Own, Silent])
def test_a_loop_of_its_own_is_refused_in_words(kind: Any, tmp_path: Path, ctx: Context) -> None:
    network = kind("means", {})
    with pytest.raises(SdkError, match="loop of its own") as caught:
        tried(network, tmp_path, ctx)
    assert "one epoch" in caught.value.hint
    assert network.epochs <= 1
    assert not (ctx.artifacts / "model").exists()


def of(**measured: Any) -> Trial:
    values = {
        "schedule": SCHEDULE,
        "begun": 0.0,
        "ended": 9.0,
        "warm_up_seconds": 12.0,
        "steps": 100,
        "step_seconds": (0.4, 0.6),
        "validation_seconds": 2.0,
        "saving_seconds": 0.5,
        "checkpoint_seconds": 1.0,
        "device_memory_bytes": None,
    }
    return Trial(**dict(values, **measured))


def test_the_estimate_adds_up() -> None:
    """By hand: 3 before and after, 12 - 8 * 0.5 compiling, 20 epochs of 50 steps and 2 + 0.5, 1 + 20/5 checkpoints."""
    assert of().estimate(3.0, 5.0) == pytest.approx(3 + 8 + 20 * (25 + 2.5) + 5)


def test_epochs_of_a_moment_are_not_all_checkpointed() -> None:
    """By hand: 20 epochs of 50 steps of 1 ms last 1 s, so that one checkpoint falls due every 5 s: 0.2 and the last."""
    quick = of(step_seconds=(0.001,), warm_up_seconds=0.0, validation_seconds=0, saving_seconds=0)
    assert quick.estimate(0.0, 5.0) == pytest.approx(1 + 1.2)
