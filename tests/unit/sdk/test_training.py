# SPDX-License-Identifier: BSD-3-Clause
"""The epoch loop on a learner of a dozen numbers: what it keeps, and that an interruption changes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional

import numpy as np
import pytest

from dl4mic_sdk import training
from dl4mic_sdk.context import Context
from dl4mic_sdk.device import Device
from dl4mic_sdk.errors import Stopped
from dl4mic_sdk.events import EventWriter, read_events
from dl4mic_sdk.training import Learner, Schedule, train

TIMINGS = {"seconds", "steps_per_second", "patches_per_second"}
TRUTH = np.linspace(-1.0, 1.0, 12)


class LinearLearner(Learner[Any]):
    """Least squares by gradient descent with momentum; the momentum is the optimiser's state."""

    weights_suffix = ".npy"
    maximised = frozenset({"val_score"})

    def __init__(self) -> None:
        self.weights = np.zeros(12)
        self.momentum = np.zeros(12)
        self.rate = 0.05
        self.on_step = lambda number: None
        self.validation_losses: Optional[List[float]] = None
        self.steps_seen: List[int] = []

    def batch(self, step: int) -> Any:
        return step, np.random.default_rng([7, step]).normal(size=(4, 12))

    def train_step(self, batch: Any) -> Mapping[str, Any]:
        number, inputs = batch
        self.on_step(number)
        self.steps_seen.append(number)
        residual = inputs @ (self.weights - TRUTH)
        self.momentum = 0.9 * self.momentum - self.rate * inputs.T @ residual / 4
        self.weights = self.weights + self.momentum
        return {"loss": np.float32(np.mean(residual**2))}

    def validate(self) -> Mapping[str, float]:
        if self.validation_losses is not None:
            return {"val_loss": self.validation_losses.pop(0)}
        loss = float(np.sum((self.weights - TRUTH) ** 2))
        return {"val_loss": loss, "val_score": 1 / (1 + loss)}

    @property
    def learning_rate(self) -> float:
        return self.rate

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        self.rate = value

    def save_weights(self, path: Path) -> None:
        np.save(path, self.weights)

    def load_weights(self, path: Path) -> None:
        self.weights = np.load(path)

    def save_state(self, folder: Path) -> None:
        np.savez(folder / "state.npz", weights=self.weights, momentum=self.momentum, rate=self.rate)

    def load_state(self, folder: Path) -> None:
        state = np.load(folder / "state.npz")
        self.weights, self.momentum, self.rate = (
            state["weights"],
            state["momentum"],
            float(state["rate"]),
        )


class Attempt:
    """Folders and context of one attempt."""

    def __init__(self, job: Path, number: int) -> None:
        self.folder = job / str(number)
        self.model = self.folder / "artifacts" / "model"
        self.model.mkdir(parents=True)
        self.ctx = Context(self.folder, EventWriter(self.folder), Device("cpu", "test"))

    def events(self, kind: str) -> List[Dict[str, Any]]:
        return [event[kind] for _, event in read_events(self.folder) if kind in event]


@pytest.fixture
def attempt(tmp_path: Path) -> Attempt:
    return Attempt(tmp_path / "job", 1)


@pytest.fixture(autouse=True)
def checkpoint_every_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)


SCHEDULE = Schedule(epochs=6, steps_per_epoch=5, batch_size=4)


def _lasting(rows: Any) -> List[Dict[str, float]]:
    return [{name: value for name, value in row.items() if name not in TIMINGS} for row in rows]


def test_learns_and_leaves_weights_and_record(attempt: Attempt) -> None:
    learner = LinearLearner()
    rows = train(learner, SCHEDULE, attempt.model, attempt.ctx)
    assert rows[-1]["val_loss"] < 0.5 * rows[0]["val_loss"]
    assert learner.steps_seen == list(range(30))
    assert sorted(path.name for path in attempt.model.iterdir()) == [
        "history.csv",
        "weights_best.npy",
        "weights_last.npy",
    ]
    assert _lasting(training.read_history(attempt.model)) == _lasting(rows)
    np.testing.assert_array_equal(np.load(attempt.model / "weights_last.npy"), learner.weights)


def test_reports_metrics_of_every_epoch_and_the_time_left(attempt: Attempt) -> None:
    train(LinearLearner(), SCHEDULE, attempt.model, attempt.ctx)
    losses = [event for event in attempt.events("metric") if event["name"] == "val_loss"]
    assert [event["step"] for event in losses] == [1, 2, 3, 4, 5, 6]
    names = {event["name"] for event in attempt.events("metric")}
    assert names >= {"loss", "learning_rate", "steps_per_second", "patches_per_second"}
    last = attempt.events("progress")[-1]
    assert (last["done"], last["total"], last["seconds_left"]) == (30, 30, 0)


@pytest.mark.parametrize(("passed", "wait"), [(0, 1), (20, 1), (60, 3), (100, 5), (86_400, 5)])
def test_long_trainings_report_less_often(passed: float, wait: float) -> None:
    assert training.seconds_between_progress(passed) == wait


@pytest.mark.parametrize("step", [0, 7, 14, 29])
def test_stopped_and_resumed_ends_as_if_undisturbed(tmp_path: Path, step: int) -> None:
    whole = Attempt(tmp_path / "whole", 1)
    undisturbed = train(LinearLearner(), SCHEDULE, whole.model, whole.ctx)
    first = Attempt(tmp_path / "job", 1)
    stopped = LinearLearner()
    stopped.on_step = lambda number: first.ctx.stop() if number == step else None
    with pytest.raises(Stopped):
        train(stopped, SCHEDULE, first.model, first.ctx)
    second = Attempt(tmp_path / "job", 2)
    resumed = LinearLearner()
    rows = train(resumed, SCHEDULE, second.model, second.ctx)
    assert stopped.steps_seen + resumed.steps_seen == list(range(30))
    _assert_same(rows, second, undisturbed, whole)


def test_killed_without_warning_goes_on_from_the_last_checkpoint(tmp_path: Path) -> None:
    whole = Attempt(tmp_path / "whole", 1)
    undisturbed = train(LinearLearner(), SCHEDULE, whole.model, whole.ctx)
    first = Attempt(tmp_path / "job", 1)
    killed = LinearLearner()

    def die(number: int) -> None:
        if number == 17:
            raise KeyboardInterrupt

    killed.on_step = die
    with pytest.raises(KeyboardInterrupt):
        train(killed, SCHEDULE, first.model, first.ctx)
    second = Attempt(tmp_path / "job", 2)
    resumed = LinearLearner()
    rows = train(resumed, SCHEDULE, second.model, second.ctx)
    assert resumed.steps_seen == list(range(15, 30))
    _assert_same(rows, second, undisturbed, whole)


def test_a_long_epoch_is_not_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "_MOST_SECONDS_AT_STAKE", 0.0)
    whole = Attempt(tmp_path / "whole", 1)
    undisturbed = train(LinearLearner(), SCHEDULE, whole.model, whole.ctx)
    first = Attempt(tmp_path / "job", 1)
    killed = LinearLearner()

    def die(number: int) -> None:
        if number == 17:
            raise KeyboardInterrupt

    killed.on_step = die
    with pytest.raises(KeyboardInterrupt):
        train(killed, SCHEDULE, first.model, first.ctx)
    second = Attempt(tmp_path / "job", 2)
    resumed = LinearLearner()
    rows = train(resumed, SCHEDULE, second.model, second.ctx)
    assert resumed.steps_seen[0] == 17
    _assert_same(rows, second, undisturbed, whole)


def _assert_same(rows: Any, second: Attempt, undisturbed: Any, whole: Attempt) -> None:
    assert _lasting(rows) == _lasting(undisturbed)
    for name in ("weights_best.npy", "weights_last.npy"):
        np.testing.assert_array_equal(np.load(second.model / name), np.load(whole.model / name))


def test_keeps_the_best_weights_though_they_were_made_before_the_interruption(
    tmp_path: Path,
) -> None:
    first = Attempt(tmp_path / "job", 1)
    learner = LinearLearner()
    learner.validation_losses = [1.0, 2.0, 3.0]
    learner.on_step = lambda number: first.ctx.stop() if number == 12 else None
    with pytest.raises(Stopped):
        train(learner, SCHEDULE, first.model, first.ctx)
    best = np.load(first.model / "weights_best.npy")
    second = Attempt(tmp_path / "job", 2)
    resumed = LinearLearner()
    resumed.validation_losses = [3.0, 4.0, 5.0, 6.0]
    train(resumed, SCHEDULE, second.model, second.ctx)
    np.testing.assert_array_equal(np.load(second.model / "weights_best.npy"), best)


def test_best_by_may_name_a_score_to_maximise(attempt: Attempt) -> None:
    learner = LinearLearner()
    scores = [0.1, 0.9, 0.5]
    learner.validate = lambda: {"val_loss": 0.0, "val_score": scores.pop(0)}  # type: ignore[method-assign]
    kept: List[int] = []
    save = learner.save_weights
    learner.save_weights = lambda path: (kept.append(len(scores)), save(path))[1]  # type: ignore
    train(learner, Schedule(3, 2, 4, best_by="val_score"), attempt.model, attempt.ctx)
    assert kept == [2, 1, 0], "after epochs 1 and 2 as the best, at the end as the last"


def test_a_metric_that_is_no_number_is_never_the_best(attempt: Attempt) -> None:
    learner = LinearLearner()
    learner.validation_losses = [float("nan"), 2.0, float("nan")]
    train(learner, Schedule(3, 2, 4), attempt.model, attempt.ctx)
    best, last = (
        np.load(attempt.model / "weights_{}.npy".format(each)) for each in ("best", "last")
    )
    assert not np.array_equal(best, last)


def test_best_by_an_unknown_metric_names_those_there_are(attempt: Attempt) -> None:
    with pytest.raises(training.TrainingError) as caught:
        train(LinearLearner(), Schedule(3, 2, 4, best_by="val_f1"), attempt.model, attempt.ctx)
    assert "val_f1" in caught.value.message
    assert "val_score" in caught.value.hint


def test_without_validation_the_training_loss_chooses(attempt: Attempt) -> None:
    learner = LinearLearner()
    learner.validate = dict  # type: ignore[method-assign, assignment]
    rows = train(learner, SCHEDULE, attempt.model, attempt.ctx)
    assert "val_loss" not in rows[0]
    assert (attempt.model / "weights_best.npy").exists()


def test_stops_early(attempt: Attempt) -> None:
    learner = LinearLearner()
    learner.validation_losses = [3.0, 2.0, 2.0, 2.5, 9.0]
    schedule = Schedule(epochs=100, steps_per_epoch=1, batch_size=4, early_stopping_patience=3)
    assert len(train(learner, schedule, attempt.model, attempt.ctx)) == 5


def test_learning_rate_falls_on_a_plateau(attempt: Attempt) -> None:
    learner = LinearLearner()
    learner.validation_losses = [3.0, 3.0, 3.0, 2.0, 2.5, 2.5]
    schedule = Schedule(6, 1, 4, reduce_patience=2, reduce_factor=0.5, minimum_learning_rate=0.02)
    rows = train(learner, schedule, attempt.model, attempt.ctx)
    assert [row["learning_rate"] for row in rows] == [0.05, 0.05, 0.05, 0.025, 0.025, 0.025]
    assert learner.learning_rate == 0.02, (
        "halved again after the sixth epoch, but not below the minimum"
    )


def test_keeps_weights_of_some_epochs_under_a_limit(attempt: Attempt) -> None:
    schedule = Schedule(6, 1, 4, keep_every=2, keep_limit=2)
    train(LinearLearner(), schedule, attempt.model, attempt.ctx)
    kept = sorted(path.name for path in attempt.model.glob("weights_epoch_*"))
    assert kept == ["weights_epoch_00004.npy", "weights_epoch_00006.npy"]


def test_a_loss_that_is_no_number_ends_the_training_in_words(attempt: Attempt) -> None:
    learner = LinearLearner()
    learner.train_step = lambda batch: {"loss": float("nan")}  # type: ignore[method-assign]
    with pytest.raises(training.TrainingError, match="no longer a number in epoch 1") as caught:
        train(learner, SCHEDULE, attempt.model, attempt.ctx)
    assert "learning_rate" in caught.value.hint


def test_learning_rate_of_a_record(attempt: Attempt) -> None:
    learner = LinearLearner()
    learner.validation_losses = [3.0, 1.0, 2.0, 2.0]
    train(learner, Schedule(4, 1, 4, reduce_patience=1), attempt.model, attempt.ctx)
    assert training.learning_rate_of(attempt.model, "best") == 0.05
    assert training.learning_rate_of(attempt.model, "last") == 0.025
    assert training.learning_rate_of(attempt.model, "1") == 0.05
    assert training.learning_rate_of(attempt.folder, "best") is None


def test_threads_do_not_change_the_order(tmp_path: Path) -> None:
    results = []
    for threads in (1, 4):
        attempt = Attempt(tmp_path / str(threads), 1)
        learner = LinearLearner()
        schedule = Schedule(epochs=6, steps_per_epoch=5, batch_size=4, prefetch_threads=threads)
        results.append(_lasting(train(learner, schedule, attempt.model, attempt.ctx)))
    assert results[0] == results[1]
