# SPDX-License-Identifier: BSD-3-Clause
"""A training that is only tried: what would be trained, on what, and what it would take. No model is made.

It leaves `dry-run.json` for programs, `report.pdf` for people, and `examples.png`, augmented patches.
"""

from __future__ import annotations

import resource
import shutil
import sys
import time
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional

from dl4mic_sdk import model_record
from dl4mic_sdk.context import Context, own_loop
from dl4mic_sdk.job_folder import write_json
from dl4mic_sdk.network import Network
from dl4mic_sdk.qc.panels import save_png
from dl4mic_sdk.report_notes import read_choices
from dl4mic_sdk.task import TrainTask
from dl4mic_sdk.training import SECONDS_BETWEEN_CHECKPOINTS
from dl4mic_sdk.training_facts import Fact, TrainingFacts, duration
from dl4mic_sdk.training_pages import examples_panel, write_trial_pages
from dl4mic_sdk.trial import ERROR, Trial

JSON_NAME = "dry-run.json"
PDF_NAME = "report.pdf"
PNG_NAME = "examples.png"
FORMAT = 1
"""Version of the form of `dry-run.json`."""


@dataclass(frozen=True)
class Estimate:
    """What the training would take.

    Attributes
    ----------
    trial
        What was tried.
    setup_seconds
        Before the first step: the network is built, its images are looked at.
    finishing_seconds
        After the last one, e.g. thresholds are chosen.
    memory_bytes
        The most main memory that the process has held.
    """

    trial: Trial
    setup_seconds: float
    finishing_seconds: float
    memory_bytes: int

    @property
    def seconds(self) -> float:
        """Of the whole training."""
        other = self.setup_seconds + self.finishing_seconds
        return self.trial.estimate(other, SECONDS_BETWEEN_CHECKPOINTS)

    def as_plain(self) -> Dict[str, Any]:
        """Return the parts of `dry-run.json` that were measured or follow from it."""
        trial, schedule = self.trial, self.trial.schedule
        return {
            "schedule": {
                "epochs": schedule.epochs,
                "steps_per_epoch": schedule.steps_per_epoch,
                "steps": schedule.steps,
                "batch_size": schedule.batch_size,
                "patches": schedule.steps * schedule.batch_size,
            },
            "measured": {
                "steps": trial.steps,
                "seconds_per_step": trial.seconds_per_step,
                "slowest_seconds_per_step": max(trial.step_seconds),
                "setup_seconds": self.setup_seconds,
                "warm_up_seconds": trial.warm_up_seconds,
                "validation_seconds": trial.validation_seconds,
                "saving_seconds": trial.saving_seconds,
                "checkpoint_seconds": trial.checkpoint_seconds,
                "finishing_seconds": self.finishing_seconds,
            },
            "estimate": {
                "seconds": self.seconds,
                "shortest_seconds": self.seconds / (1 + ERROR),
                "longest_seconds": self.seconds * (1 + ERROR),
                "memory_bytes": self.memory_bytes,
                "device_memory_bytes": trial.device_memory_bytes,
            },
        }

    def facts(self) -> List[Fact]:
        """Say it for people."""
        trial, schedule = self.trial, self.trial.schedule
        low, high = self.seconds / (1 + ERROR), self.seconds * (1 + ERROR)
        return [
            ("Epochs", str(schedule.epochs)),
            ("Steps of an epoch", str(schedule.steps_per_epoch)),
            ("Patches of a step", str(schedule.batch_size)),
            ("Time", "{} ({} to {})".format(*map(duration, (self.seconds, low, high)))),
            ("One step", "{:.3g} s, over {} steps".format(trial.seconds_per_step, trial.steps)),
            ("One validation", "{:.3g} s".format(trial.validation_seconds)),
            ("Main memory", _gigabytes(self.memory_bytes)),
            ("GPU memory", _gigabytes(trial.device_memory_bytes)),
        ]


def try_training(
    request: Mapping[str, Any], task: TrainTask, network: Network, ctx: Context
) -> None:
    """Begin a training as ever, stop after a few steps, and write down what they tell.

    Raises
    ------
    dl4mic_sdk.errors.SdkError
        The network trains by a loop of its own, which cannot be stopped there.
    """
    ctx.dry_run = True
    record = model_record.begin(
        request,
        task.model,
        data=task.data.as_record(),
        channels=task.train[0].channels,
        split=task.split,
        parent=task.parent,
        device=ctx.device,
    )
    estimate = _try(task, network, ctx)
    choices = read_choices(ctx.attempt_folder)
    facts = TrainingFacts(request, task, record, [], choices)
    picture = _draw_examples(ctx)
    _write(facts, estimate, picture, ctx)
    shutil.rmtree(str(task.model))


def _try(task: TrainTask, network: Network, ctx: Context) -> Estimate:
    started = time.monotonic()
    network.train(task, ctx)
    trial = ctx.trial
    if trial is None:
        raise own_loop()
    finishing = time.monotonic() - trial.ended
    return Estimate(trial, trial.begun - started, finishing, peak_memory_bytes())


def peak_memory_bytes() -> int:
    """Return the most main memory that this process has held."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak << 10


def _draw_examples(ctx: Context) -> str:
    panel = examples_panel(ctx.attempt_folder)
    if panel is None:
        return ""
    save_png(panel, ctx.artifacts / PNG_NAME)
    ctx.artifact(PNG_NAME, "augmented examples")
    return PNG_NAME


def _write(facts: TrainingFacts, estimate: Estimate, picture: str, ctx: Context) -> None:
    write_trial_pages(ctx.artifacts / PDF_NAME, facts, estimate.facts(), ctx.attempt_folder)
    ctx.artifact(PDF_NAME, "report of the dry run")
    content = dict(_as_plain(facts), **estimate.as_plain())
    write_json(ctx.artifacts / JSON_NAME, dict(content, format=FORMAT, examples=picture))
    ctx.artifact(JSON_NAME, "what would be trained")


def _as_plain(facts: TrainingFacts) -> Dict[str, Any]:
    task, record = facts.task, facts.record
    return {
        "network": record["network"],
        "model": facts.request["model_name"],
        "preset": record["preset"],
        "device": record["device"],
        "images": {"training": len(task.train), "validation": len(task.validation)},
        "data": {name: text for name, text in facts.data() if text},
        "split": record["split"],
        "parameters": [vars(each) for each in facts.settings()],
        "warnings": [{"code": code, "message": text} for code, text in facts.warnings()],
    }


def _gigabytes(count: Optional[int]) -> str:
    return "" if count is None else "{:.2f} GB while it was tried".format(count / 1e9)
