# SPDX-License-Identifier: BSD-3-Clause
"""Blur and threshold: the smallest network that trains, with numpy and scipy alone."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import resource
import signal
import sys
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Sequence, Tuple

import numpy as np
from scipy import ndimage

from dl4mic_sdk import ModelFolder, Network, Prediction, PredictTask, Table, TrainTask
from dl4mic_sdk.context import Context
from dl4mic_sdk.errors import ModelError
from dl4mic_sdk.images import Image
from dl4mic_sdk.pairs import Item
from dl4mic_sdk.patches import Patch, PatchSampler
from dl4mic_sdk.training import Learner, Schedule, train, weights_path

SUFFIX = ".json"
PLAIN_NAME = "threshold.json"
"""Of a model of the format `plain`, as another program might keep it."""

STEEPNESS = 10.0
"""Of the logistic curve by which a brightness near the threshold counts as foreground."""


class Threshold(Learner[List[Patch]]):
    """Learns where between dark (0) and bright (1) the threshold lies, by gradient descent on the cross-entropy."""

    weights_suffix = SUFFIX

    def __init__(
        self, sampler: PatchSampler, validation: Sequence[Item], parameters: Mapping[str, Any]
    ) -> None:
        self.threshold = 0.0
        self._rate = float(parameters["learning_rate"])
        self._sampler = sampler
        self._validation = validation
        self._parameters = parameters
        self._halts = parameters["fault"] == "halt"
        self._saved = 0

    def batch(self, step: int) -> List[Patch]:
        return self._sampler.batch(step)

    def train_step(self, batch: List[Patch]) -> Mapping[str, float]:
        losses = []
        for patch in batch:
            assert patch.target is not None
            truth = patch.target > 0
            found = _foreground(blur(patch.source, self._parameters["sigma"]), self.threshold)
            losses.append(_cross_entropy(found, truth))
            self.threshold -= self._rate * float(
                np.mean(truth - found)
            )  # the slope of the loss, but for STEEPNESS
        time.sleep(self._parameters["step_seconds"])
        return {"loss": float(np.mean(losses))}

    def validate(self) -> Mapping[str, float]:
        losses = []
        for item in self._validation:
            found = _foreground(
                smooth(item.read_source(), self._parameters["sigma"]), self.threshold
            )
            losses.append(_cross_entropy(found, item.read_target().pixels > 0))
        return {"val_loss": float(np.mean(losses))}

    @property
    def learning_rate(self) -> float:
        return self._rate

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        self._rate = value

    def save_weights(self, path: Path) -> None:
        weights = {"threshold": self.threshold, "sigma": self._parameters["sigma"]}
        path.write_text(json.dumps(weights), encoding="utf-8")

    def load_weights(self, path: Path) -> None:
        self.threshold = json.loads(path.read_text(encoding="utf-8"))["threshold"]

    def save_state(self, folder: Path) -> None:
        state = json.dumps({"threshold": self.threshold, "learning_rate": self._rate})
        if self._halts and self._saved:
            (folder / "state.json").write_text(state[:9], encoding="utf-8")
            os.kill(os.getpid(), signal.SIGSTOP)
        (folder / "state.json").write_text(state, encoding="utf-8")
        self._saved += 1

    def load_state(self, folder: Path) -> None:
        state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        self.threshold, self._rate = state["threshold"], state["learning_rate"]
        self._halts = False  # once is enough


class Blur(Network):
    """Segments by a learned threshold on the smoothed image."""

    def train(self, task: TrainTask, ctx: Context) -> None:
        axes = task.train[0].axes
        sampler = PatchSampler(
            task.train,
            [1] * (len(axes) - 2) + task.parameters["patch_size"],
            seed=task.seed,
            measure=offset_and_scale,
        )
        learner = Threshold(sampler, task.validation, task.parameters)
        if task.parent is not None:
            learner.load_weights(weights_path(task.parent.path, task.parent.weights, SUFFIX))
        if task.parameters["fault"] == "deaf":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        schedule = Schedule(
            epochs=task.parameters["epochs"],
            steps_per_epoch=task.parameters["steps_per_epoch"],
            batch_size=1,
            best_by=task.parameters["best_by"],
            early_stopping_patience=task.parameters["early_stopping_patience"],
            checkpoint_every=task.parameters["checkpoint_every"],
            keep_every=task.parameters["keep_every"],
            keep_limit=task.parameters["keep_limit"],
        )
        if task.parameters["fault"] not in ("none", "deaf", "halt"):
            train(learner, _one_epoch(schedule), task.model, ctx)
            go_wrong(task.parameters["fault"])
        train(learner, schedule, task.model, ctx)

    def load(self, model: ModelFolder) -> None:
        path = weights_path(model.path, model.weights, SUFFIX)
        self._weights: Dict[str, float] = json.loads(path.read_text(encoding="utf-8"))

    def predict_image(self, image: Image) -> Prediction:
        if self.parameters.get("fault", "none") != "none":
            go_wrong(self.parameters["fault"])
        smoothed = smooth(image, self._weights["sigma"])
        labels, count = ndimage.label(smoothed > self._weights["threshold"])
        sizes = np.bincount(labels.ravel(), minlength=count + 1)
        kept = np.flatnonzero(sizes[1:] >= self.parameters["smallest_object"]) + 1
        numbers = np.zeros(count + 1, np.int32)
        numbers[kept] = np.arange(1, len(kept) + 1)
        rows = [(number, int(sizes[old])) for number, old in enumerate(kept, start=1)]
        objects = Table(("label", "area_px"), rows)
        return Prediction(
            {"label image": image.with_pixels(numbers[labels])},
            labels=True,
            tables={"objects": objects},
        )

    def import_model(
        self, source: Path, format: str, model: Path, ctx: Context
    ) -> Mapping[str, Any]:
        """Take a threshold in its plain form."""
        try:
            weights = json.loads((source / PLAIN_NAME).read_text(encoding="utf-8"))
            plain = {name: float(weights[name]) for name in ("threshold", "sigma")}
        except (ValueError, KeyError, TypeError) as error:
            raise ModelError(f"{PLAIN_NAME} is damaged: {error!r}", "Copy it anew.") from error
        weights_path(model, "best", SUFFIX).write_text(json.dumps(plain), encoding="utf-8")
        return {"parameters": {"sigma": plain["sigma"]}, "licence": weights.get("licence")}

    def export_model(self, model: ModelFolder, format: str, folder: Path, ctx: Context) -> None:
        """Give a threshold in its plain form."""
        weights = weights_path(model.path, model.weights, SUFFIX)
        (folder / PLAIN_NAME).write_text(weights.read_text(encoding="utf-8"), encoding="utf-8")

    def predict(self, task: PredictTask, ctx: Context) -> None:
        if task.parameters["fault"] != "none":
            go_wrong(task.parameters["fault"])
        time.sleep(task.parameters["step_seconds"])
        super().predict(task, ctx)


def offset_and_scale(image: Image) -> Tuple[float, float]:
    """Return what brings an image to 0 (dark, its 1st percentile) to 1 (bright, its 99.8th): offset and scale."""
    low, high = np.percentile(image.pixels, (1, 99.8))
    return float(low), max(float(high - low), 1e-9)


def blur(pixels: np.ndarray, sigma: float) -> np.ndarray:
    """Blur along the last two axes with a Gaussian of `sigma` pixels."""
    return ndimage.gaussian_filter(pixels, (0.0,) * (pixels.ndim - 2) + (sigma, sigma))


def smooth(image: Image, sigma: float) -> np.ndarray:
    """Normalise and blur a whole image, as patches are in training."""
    offset, scale = offset_and_scale(image)
    return blur((image.pixels - offset) / scale, sigma)


def go_wrong(how: str) -> None:
    """Fail as asked."""
    _FAULTS[how]()


def _raise(error: Exception) -> None:
    raise error


def _exceed_a_limit() -> None:
    """Ask for more than this process may have, as a batch system may limit it."""
    resource.setrlimit(resource.RLIMIT_AS, (1 << 33, 1 << 33))
    np.ones(1 << 34, np.uint8)


def _take_all_memory() -> None:
    """Take memory until the kernel steps in; for tests that limit it."""
    taken = []
    while True:
        taken.append(np.ones(1 << 25, np.uint8))


_FAULTS: Dict[str, Callable[[], Any]] = {
    "exception": lambda: _raise(ValueError("asked to fail")),
    "memory": lambda: _raise(MemoryError("asked to fail")),
    "limit": _exceed_a_limit,
    "allocate": _take_all_memory,
    "disk": lambda: _raise(OSError(errno.ENOSPC, "No space left on device")),
    "segfault": lambda: ctypes.string_at(0),
    "bus": lambda: os.kill(os.getpid(), signal.SIGBUS),
    "abort": os.abort,
    "exit": lambda: sys.exit("asked to leave"),
    "leave": lambda: os._exit(0),
    "hang": lambda: ctypes.PyDLL(None).sleep(3600),  # holds the interpreter's lock meanwhile
}


def _one_epoch(schedule: Schedule) -> Schedule:
    return Schedule(1, schedule.steps_per_epoch, 1, checkpoint_every=schedule.checkpoint_every)


def _foreground(source: np.ndarray, threshold: float) -> np.ndarray:
    return 1 / (1 + np.exp(-STEEPNESS * (source - threshold)))


def _cross_entropy(found: np.ndarray, truth: np.ndarray) -> float:
    sure = np.clip(np.where(truth, found, 1 - found), 1e-7, 1)
    return float(-np.log(sure).mean())


networks = {"blur": Blur}
