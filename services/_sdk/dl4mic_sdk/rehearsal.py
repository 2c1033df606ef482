# SPDX-License-Identifier: BSD-3-Clause
"""Tries a few real steps of a training, and measures them."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any, Callable, List, Mapping, Tuple

from dl4mic_sdk.context import Context
from dl4mic_sdk.learner import Learner, Schedule, weights_path
from dl4mic_sdk.prefetch import Prefetch
from dl4mic_sdk.trial import WARM_UP_STEPS, Trial

MOST_STEPS = 100
MOST_SECONDS = 20.0
_FEWEST_STRETCHES = 3
_STRETCH_SECONDS = 0.5
"""A stretch of steps is timed as one: a GPU computes ahead of Python, as it does in the training."""


def try_out(learner: Learner[Any], schedule: Schedule, folder: Path, ctx: Context) -> Trial:
    """Try steps of a training as they will be: batches are made ahead, and nothing is reported in between.

    Parameters
    ----------
    learner, schedule
        The training.
    folder
        Gets the weights, as a model's folder does.
    ctx
        Is told of the progress, and asks to stop.
    """
    begun = time.monotonic()
    last = WARM_UP_STEPS + MOST_STEPS
    with Prefetch(learner.batch, 0, last, schedule.prefetch_threads) as batches:
        _run(learner, batches, WARM_UP_STEPS, 0.0)
        warm_up = time.monotonic() - begun
        steps, stretches = _time_steps(learner, batches, ctx)
    validation, saving, checkpoint = _time_the_rest(learner, folder)
    return Trial(
        schedule=schedule,
        begun=begun,
        ended=time.monotonic(),
        warm_up_seconds=warm_up,
        steps=steps,
        step_seconds=tuple(stretches),
        validation_seconds=validation,
        saving_seconds=saving,
        checkpoint_seconds=checkpoint,
        device_memory_bytes=learner.device_memory_bytes(),
    )


def _time_the_rest(learner: Learner[Any], folder: Path) -> Tuple[float, float, float]:
    """Validate, save and checkpoint once; the weights stay, for what the network does when it has been trained."""
    validation = _time_validation(learner)
    best, last = (weights_path(folder, each, learner.weights_suffix) for each in ("best", "last"))
    saving = _seconds_of(lambda: learner.save_weights(best))
    shutil.copyfile(str(best), str(last))
    return validation, saving, _time_checkpoint(learner, folder / ".state")


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
