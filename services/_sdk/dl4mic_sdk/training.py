# SPDX-License-Identifier: BSD-3-Clause
"""The epoch loop that every network shares: steps, validation, best and last weights, checkpoints, resume.

A network supplies a `Learner`; nothing here knows a framework.
"""

from __future__ import annotations

import csv
import json
import math
import os
import shutil
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence

from dl4mic_sdk.context import Context
from dl4mic_sdk.errors import SdkError
from dl4mic_sdk.learner import Learner, Schedule, weights_path
from dl4mic_sdk.prefetch import Prefetch
from dl4mic_sdk.rehearsal import try_out
from dl4mic_sdk.report_notes import MOST_EXAMPLES, note_examples, read_examples

__all__ = [
    "HISTORY_NAME",
    "Learner",
    "Row",
    "Schedule",
    "TrainingError",
    "learning_rate_of",
    "read_history",
    "train",
    "weights_path",
]

HISTORY_NAME = "history.csv"
"""Name of the loss record in a model's folder: one row an epoch."""

_STATE_NAME = "training.json"
SECONDS_BETWEEN_CHECKPOINTS = 5.0
"""Epochs of a second would otherwise spend more on checkpoints than on steps."""

_MOST_SECONDS_AT_STAKE = 300.0
"""An epoch may last hours; a worker that is killed in it shall not lose them."""

Row = Dict[str, float]


class TrainingError(SdkError):
    """The training cannot go on, e.g. because its loss is no longer a number."""


@dataclass
class _Progress:
    """Where a training stands; what a checkpoint remembers beside the learner's own state."""

    epoch: int = 0
    step: int = 0
    sums: Dict[str, float] = field(default_factory=dict)
    epoch_seconds: float = 0.0
    best: Optional[float] = None
    best_epoch: int = 0
    plateau_best: Optional[float] = None
    plateau_epochs: int = 0
    rows: List[Row] = field(default_factory=list)


def train(learner: Learner[Any], schedule: Schedule, folder: Path, ctx: Context) -> Sequence[Row]:
    """Train from the start, or go on from the latest checkpoint.

    Parameters
    ----------
    learner
        The network's part.
    schedule
        Length and rules.
    folder
        Model folder; gets ``weights_best``, ``weights_last``, ``weights_epoch_00010`` and so on, and `HISTORY_NAME`.
    ctx
        Gets progress, metrics and checkpoints.

    Returns
    -------
    sequence of dict
        One row of metrics an epoch; none in a dry run, which takes a few steps only.

    Raises
    ------
    TrainingError
        The loss is no longer a number, or `best_by` names no recorded metric.
    dl4mic_sdk.errors.Stopped
        The worker was asked to stop; a checkpoint was written.
    """
    _note_examples(learner, ctx)
    if ctx.dry_run:
        ctx.trial = try_out(learner, schedule, folder, ctx)
        return []
    loop = _Loop(learner, schedule, folder, ctx)
    loop.resume()
    start = loop.progress.epoch * schedule.steps_per_epoch + loop.progress.step
    with Prefetch(learner.batch, start, schedule.steps, schedule.prefetch_threads) as batches:
        while not loop.finished:
            loop.run_epoch(batches)
    loop.save("last")
    return loop.progress.rows


def read_history(folder: Path) -> List[Row]:
    """Read a model's loss record; empty where there is none."""
    path = folder / HISTORY_NAME
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def learning_rate_of(folder: Path, which: str) -> Optional[float]:
    """Return the learning rate at which a model's weights were left, or None if its record does not say.

    Parameters
    ----------
    folder
        Model folder with its loss record.
    which
        ``"best"`` (the epoch of the lowest validation loss), ``"last"`` or the number of an epoch.
    """
    rows = [row for row in read_history(folder) if "learning_rate" in row]
    if not rows:
        return None
    if which == "best" and "val_loss" in rows[0]:
        return min(rows, key=lambda row: row["val_loss"])["learning_rate"]
    of_epoch = [row for row in rows if which.isdigit() and row["epoch"] == int(which)]
    return (of_epoch or rows)[-1]["learning_rate"]


def _note_examples(learner: Learner[Any], ctx: Context) -> None:
    """Keep patches for the report, unless the network has done so itself."""
    if not read_examples(ctx.attempt_folder):
        note_examples(ctx.attempt_folder, learner.examples(MOST_EXAMPLES))


class _Loop:
    def __init__(
        self, learner: Learner[Any], schedule: Schedule, folder: Path, ctx: Context
    ) -> None:
        self.progress = _Progress()
        self._learner = learner
        self._schedule = schedule
        self._folder = folder
        self._ctx = ctx
        self._steps_at_start = 0
        self._started = time.monotonic()
        self._reported = -math.inf
        self._checkpointed = self._started
        self._checkpoints = 0

    @property
    def finished(self) -> bool:
        patience = self._schedule.early_stopping_patience
        stale = self.progress.epoch - self.progress.best_epoch
        stopped_early = bool(patience) and bool(self.progress.rows) and stale >= patience
        return self.progress.epoch >= self._schedule.epochs or stopped_early

    @property
    def _steps_done(self) -> int:
        return self.progress.epoch * self._schedule.steps_per_epoch + self.progress.step

    def resume(self) -> None:
        checkpoint = self._ctx.latest_checkpoint()
        if checkpoint is not None and (checkpoint / _STATE_NAME).exists():
            self._learner.load_state(checkpoint)
            text = (checkpoint / _STATE_NAME).read_text(encoding="utf-8")
            self.progress = _Progress(**json.loads(text))
            for weights in checkpoint.glob("weights_*"):
                _link(weights, self._folder / weights.name)
            self._ctx.log.info(
                "going on after epoch %d, step %d", self.progress.epoch, self.progress.step
            )
        self._steps_at_start = self._steps_done
        self._write_history()

    def run_epoch(self, batches: Prefetch[Any]) -> None:
        begun = time.monotonic() - self.progress.epoch_seconds
        pending: List[Mapping[str, Any]] = []
        while self.progress.step < self._schedule.steps_per_epoch:
            pending.append(self._learner.train_step(next(batches)))
            self.progress.step += 1
            now = time.monotonic()
            if now - self._reported >= seconds_between_progress(now - self._started):
                self._add(pending)
                self._report_progress()
            if self._ctx.stopping or now - self._checkpointed >= _MOST_SECONDS_AT_STAKE:
                self._add(pending)
                self.progress.epoch_seconds = now - begun
                self._checkpoint()
                self._ctx.raise_if_stopping()
        self._add(pending)
        self._end_epoch(time.monotonic() - begun)

    def _add(self, pending: List[Mapping[str, Any]]) -> None:
        """Sum up metrics; only here are they read, so that a GPU need not wait for Python after every step."""
        for metrics in pending:
            for name, value in metrics.items():
                self.progress.sums[name] = self.progress.sums.get(name, 0.0) + float(value)
        pending.clear()
        loss = self.progress.sums.get("loss", 0.0)
        if not math.isfinite(loss):
            raise TrainingError(
                "the loss is no longer a number in epoch {}".format(self.progress.epoch + 1),
                "Lower learning_rate, and look for images with extreme values.",
            )

    def _report_progress(self) -> None:
        self._reported = time.monotonic()
        done, total = self._steps_done, self._schedule.steps
        rate = (self._reported - self._started) / max(1, done - self._steps_at_start)
        self._ctx.progress(done, total, "steps", "training", seconds_left=rate * (total - done))
        epochs = done / self._schedule.steps_per_epoch
        if self.progress.step:
            running = self.progress.sums["loss"] / self.progress.step
            self._ctx.metric("running_loss", running, epochs)

    def _end_epoch(self, seconds: float) -> None:
        row = self._row(seconds)
        progress = self.progress
        progress.epoch += 1
        progress.step, progress.sums, progress.epoch_seconds = 0, {}, 0.0
        progress.rows.append(row)
        self._append_history(row)
        for name, value in row.items():
            self._ctx.metric(name, value, progress.epoch, _UNITS.get(name, ""))
        self._keep(row)
        self._reduce_learning_rate(row)
        self._report_progress()
        self._checkpoint_if_due()

    def _row(self, seconds: float) -> Row:
        steps = self._schedule.steps_per_epoch
        row = {"epoch": float(self.progress.epoch + 1)}
        row.update({name: total / steps for name, total in self.progress.sums.items()})
        row.update({name: float(value) for name, value in self._learner.validate().items()})
        row["learning_rate"] = float(self._learner.learning_rate)
        row["seconds"] = seconds
        row["steps_per_second"] = steps / max(seconds, 1e-9)
        row["patches_per_second"] = row["steps_per_second"] * self._schedule.batch_size
        device_memory = self._learner.device_memory_bytes()
        if device_memory is not None:
            row["device_memory_bytes"] = float(device_memory)
        return row

    def _keep(self, row: Row) -> None:
        value = self._best_value(row)
        if self.progress.best is None or value < self.progress.best:
            self.progress.best, self.progress.best_epoch = value, self.progress.epoch
            self.save("best")
        every = self._schedule.keep_every
        if every and self.progress.epoch % every == 0:
            self.save(str(self.progress.epoch))
            kept = sorted(self._folder.glob("weights_epoch_*"))
            for old in kept[: -self._schedule.keep_limit]:
                old.unlink()

    def _best_value(self, row: Row) -> float:
        """Return the value to minimise; without validation images the training loss takes its place."""
        name = self._schedule.best_by
        if name == "val_loss" and name not in row:
            name = "loss"
        if name not in row:
            raise TrainingError(
                "best_by={!r} is no recorded metric".format(name),
                "Choose one of: {}.".format(", ".join(sorted(row))),
            )
        value = -row[name] if name in self._learner.maximised else row[name]
        return math.inf if math.isnan(value) else value

    def _reduce_learning_rate(self, row: Row) -> None:
        if not self._schedule.reduce_patience:
            return
        progress, loss = self.progress, row.get("val_loss", row["loss"])
        if progress.plateau_best is None or loss < progress.plateau_best:
            progress.plateau_best, progress.plateau_epochs = loss, 0
            return
        progress.plateau_epochs += 1
        if progress.plateau_epochs >= self._schedule.reduce_patience:
            progress.plateau_epochs = 0
            lower = self._learner.learning_rate * self._schedule.reduce_factor
            self._learner.learning_rate = max(lower, self._schedule.minimum_learning_rate)

    def save(self, which: str) -> None:
        """Write weights and put them in place at once, so that a reader never meets a half-written file."""
        path = weights_path(self._folder, which, self._learner.weights_suffix)
        partial = path.with_name("." + path.name)
        self._learner.save_weights(partial)
        os.replace(str(partial), str(path))

    def _checkpoint_if_due(self) -> None:
        due = self.progress.epoch % self._schedule.checkpoint_every == 0
        waited = time.monotonic() - self._checkpointed >= SECONDS_BETWEEN_CHECKPOINTS
        waited = waited or not self._checkpoints
        if (due and waited) or self.finished or self._ctx.stopping:
            self._checkpoint()
        self._ctx.raise_if_stopping()

    def _checkpoint(self) -> None:
        self._ctx.checkpoint(self._steps_done, self._write_checkpoint)
        self._checkpointed = time.monotonic()
        self._checkpoints += 1

    def _write_checkpoint(self, folder: Path) -> None:
        self._learner.save_state(folder)
        for weights in self._folder.glob("weights_*"):
            _link(weights, folder / weights.name)
        (folder / _STATE_NAME).write_text(json.dumps(asdict(self.progress)), encoding="utf-8")

    def _write_history(self) -> None:
        path = self._folder / HISTORY_NAME
        if path.exists():
            path.unlink()
        for row in self.progress.rows:
            self._append_history(row)

    def _append_history(self, row: Row) -> None:
        path = self._folder / HISTORY_NAME
        begun = path.exists()
        with path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(row))
            if not begun:
                writer.writeheader()
            writer.writerow(row)


def seconds_between_progress(passed: float) -> float:
    """Tell how long to wait between two reports: a twentieth of the time so far, from one second to five.

    A bar moves no finer, and each report costs the orchestrator a message to each who watches.

    Parameters
    ----------
    passed
        Seconds since the training began.
    """
    return min(5.0, max(1.0, passed / 20))


_UNITS = {
    "seconds": "s",
    "steps_per_second": "1/s",
    "patches_per_second": "1/s",
    "device_memory_bytes": "B",
}


def _link(source: Path, target: Path) -> None:
    """Give a finished weight file a second name; weights are replaced whole and never changed in place."""
    try:
        os.link(str(source), str(target))
    except OSError:
        shutil.copyfile(str(source), str(target))
