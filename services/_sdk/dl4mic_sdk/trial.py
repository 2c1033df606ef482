# SPDX-License-Identifier: BSD-3-Clause
"""Tries a few real steps of a training and estimates from them what the whole of it takes."""

from __future__ import annotations

import resource
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any, Callable, List, Mapping, Optional, Tuple

from dl4mic_sdk.context import Context
from dl4mic_sdk.learner import Learner, Schedule
from dl4mic_sdk.prefetch import Prefetch

WARM_UP_STEPS = 8
"""More than are made ahead by four threads need not be waited for; frameworks compile in the first one."""

MOST_STEPS = 100
MOST_SECONDS = 20.0
_FEWEST_STRETCHES = 3
_STRETCH_SECONDS = 0.5
"""A stretch of steps is timed as one: a GPU computes ahead of Python, as it does in the training."""

ERROR = 0.3
"""Share by which a real run may be shorter or longer, see "How long will it take" in the orchestrator's README."""


class TrialDone(Exception):
    """A dry run has tried enough; not an error.

    Parameters
    ----------
    trial
        What it found.
    """

    def __init__(self, trial: Trial) -> None:
        super().__init__("tried {} steps".format(trial.steps))
        self.trial = trial


@dataclass(frozen=True)
class Trial:
    """What a few steps took.

    Attributes
    ----------
    schedule
        Of the training that was tried.
    begun
        When the first step began, by the monotonic clock.
    warm_up_seconds
        Of the first `WARM_UP_STEPS` steps, in which the framework compiles.
    steps
        That were timed after these.
    step_seconds
        Of one step, over each stretch of steps that was timed.
    validation_seconds, saving_seconds, checkpoint_seconds
        Of validating once, of writing the weights once, of writing a checkpoint once.
    memory_bytes
        The most main memory that the process has held.
    device_memory_bytes
        The GPU's memory in use, where it can be told.
    """

    schedule: Schedule
    begun: float
    warm_up_seconds: float
    steps: int
    step_seconds: Tuple[float, ...]
    validation_seconds: float
    saving_seconds: float
    checkpoint_seconds: float
    memory_bytes: int
    device_memory_bytes: Optional[int]

    @property
    def seconds_per_step(self) -> float:
        """Mean over the stretches."""
        return mean(self.step_seconds)

    def estimate(self, setup_seconds: float, between_checkpoints: float) -> float:
        """Estimate the seconds from the begin of the training to the end of its last epoch.

        Parameters
        ----------
        setup_seconds
            From the begin of the training to its first step.
        between_checkpoints
            Shortest time between two checkpoints, seconds.

        Notes
        -----
        Every epoch is counted as the best so far, whose weights are written; early stopping is not foreseen.
        """
        schedule, step = self.schedule, self.seconds_per_step
        compiling = max(0.0, self.warm_up_seconds - WARM_UP_STEPS * step)
        epoch = schedule.steps_per_epoch * step + self.validation_seconds + self.saving_seconds
        epochs = schedule.epochs * epoch
        by_epochs = schedule.epochs // schedule.checkpoint_every
        checkpoints = 1 + min(float(by_epochs), epochs / between_checkpoints)
        return setup_seconds + compiling + epochs + checkpoints * self.checkpoint_seconds


def try_out(learner: Learner[Any], schedule: Schedule, folder: Path, ctx: Context) -> Trial:
    """Try steps of a training as they will be: batches are made ahead, and nothing is reported in between.

    Parameters
    ----------
    learner, schedule
        The training.
    folder
        For what is written to time the writing.
    ctx
        Is told of the progress, and asks to stop.
    """
    begun = time.monotonic()
    last = WARM_UP_STEPS + MOST_STEPS
    with Prefetch(learner.batch, 0, last, schedule.prefetch_threads) as batches:
        _run(learner, batches, WARM_UP_STEPS, 0.0)
        warm_up = time.monotonic() - begun
        steps, stretches = _time_steps(learner, batches, ctx)
    return Trial(
        schedule=schedule,
        begun=begun,
        warm_up_seconds=warm_up,
        steps=steps,
        step_seconds=tuple(stretches),
        validation_seconds=_time_validation(learner),
        saving_seconds=_seconds_of(lambda: learner.save_weights(folder / ".trial")),
        checkpoint_seconds=_time_checkpoint(learner, folder / ".trial-state"),
        memory_bytes=peak_memory_bytes(),
        device_memory_bytes=learner.device_memory_bytes(),
    )


def _time_steps(
    learner: Learner[Any], batches: Prefetch[Any], ctx: Context
) -> Tuple[int, List[float]]:
    done, stretches, begun = 0, [], time.monotonic()
    while done < MOST_STEPS:
        ctx.raise_if_stopping()
        ctx.progress(done, MOST_STEPS, "steps", "trying")
        began = time.monotonic()
        steps = _run(learner, batches, MOST_STEPS - done, _STRETCH_SECONDS)
        stretches.append((time.monotonic() - began) / steps)
        done += steps
        if len(stretches) >= _FEWEST_STRETCHES and time.monotonic() - begun > MOST_SECONDS:
            break
    ctx.progress(done, done, "steps", "trying")
    return done, stretches


def _run(learner: Learner[Any], batches: Prefetch[Any], most: int, seconds: float) -> int:
    """Take steps until so many are taken, or (unless 0) so many seconds are over; wait for their results."""
    began = time.monotonic()
    pending: List[Mapping[str, Any]] = []
    while len(pending) < most and not (seconds and time.monotonic() - began > seconds):
        pending.append(learner.train_step(next(batches)))
    for metrics in pending:
        float(metrics["loss"])
    return len(pending)


def _time_validation(learner: Learner[Any]) -> float:
    first = _seconds_of(learner.validate)
    # The framework compiles in the first one; where that one took long, compiling was little of it.
    return first if first > MOST_SECONDS else min(first, _seconds_of(learner.validate))


def _time_checkpoint(learner: Learner[Any], folder: Path) -> float:
    folder.mkdir()
    seconds = _seconds_of(lambda: learner.save_state(folder))
    shutil.rmtree(str(folder))
    return seconds


def _seconds_of(work: Callable[[], Any]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


def peak_memory_bytes() -> int:
    """Return the most main memory that this process has held."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak << 10
