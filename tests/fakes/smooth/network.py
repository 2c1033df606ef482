# SPDX-License-Identifier: BSD-3-Clause
"""Gaussian filters whose width is learned, from pairs or from noisy images alone: restoration without a framework."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, List, Mapping, Optional, Sequence

import numpy as np
from scipy import ndimage

from dl4mic_sdk import ModelFolder, Network, Prediction, TrainTask
from dl4mic_sdk.context import Context
from dl4mic_sdk.errors import ModelError
from dl4mic_sdk.images import Image, ImageOnDisk
from dl4mic_sdk.normalisation import channels_last
from dl4mic_sdk.pairs import Item
from dl4mic_sdk.patches import Patch, PatchSampler
from dl4mic_sdk.tiled_prediction import AnyImage, predict_tiled
from dl4mic_sdk.training import Learner, Schedule, train, weights_path

SUFFIX = ".json"
PLAIN_NAME = "width.json"
"""Of a model of the format `plain`, as another program might keep it."""

NARROWEST, WIDEST = 0.3, 20.0
"""px; of a narrower filter almost all weight lies on the pixel itself."""

STEP = 0.05
"""By which the logarithm of the width is varied to find the slope of the loss."""

MULTIPLE = 4
"""Sizes that the filter is given are multiples of it, as of networks that pool twice."""


class Width(Learner[List[Patch]]):
    """Learns the width of a Gaussian filter by gradient descent on the squared error.

    Without targets the error is that of guessing a pixel from the others around it, which is least for the same filter
    as the error against the truth, if the noise of each pixel is its own (Batson and Royer 2019).
    """

    weights_suffix = SUFFIX

    def __init__(
        self, sampler: PatchSampler, validation: Sequence[Item], parameters: Mapping[str, Any]
    ) -> None:
        self.width = float(parameters["start_width"])
        self._rate = float(parameters["learning_rate"])
        self._sampler = sampler
        self._validation = validation

    def batch(self, step: int) -> List[Patch]:
        return self._sampler.batch(step)

    def train_step(self, batch: List[Patch]) -> Mapping[str, float]:
        losses = []
        for patch in batch:
            wider, narrower = (
                loss_of(patch.source, patch.target, self.width * math.exp(each))
                for each in (STEP, -STEP)
            )
            losses.append((wider + narrower) / 2)
            slope = (wider - narrower) / (2 * STEP * max(losses[-1], 1e-9))
            self.width *= math.exp(-self._rate * min(max(slope, -1), 1))
            self.width = min(max(self.width, NARROWEST), WIDEST)
        return {"loss": float(np.mean(losses))}

    def validate(self) -> Mapping[str, float]:
        losses = []
        for item in self._validation:
            source = item.read_source()
            pixels = channels_last(source.pixels, source.axes)
            target = item.read_target() if item.target is not None else None
            aim = None if target is None else channels_last(target.pixels, target.axes)
            losses.append(loss_of(pixels, aim, self.width))
        return {"val_loss": float(np.mean(losses))} if losses else {}

    @property
    def learning_rate(self) -> float:
        return self._rate

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        self._rate = value

    def save_weights(self, path: Path) -> None:
        path.write_text(json.dumps({"width": self.width}), encoding="utf-8")

    def load_weights(self, path: Path) -> None:
        self.width = json.loads(path.read_text(encoding="utf-8"))["width"]

    def save_state(self, folder: Path) -> None:
        state = {"width": self.width, "learning_rate": self._rate}
        (folder / "state.json").write_text(json.dumps(state), encoding="utf-8")

    def load_state(self, folder: Path) -> None:
        state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        self.width, self._rate = state["width"], state["learning_rate"]


class Smooth(Network):
    """Restores by a Gaussian filter of learned width."""

    def train(self, task: TrainTask, ctx: Context) -> None:
        parameters = task.parameters
        sampler = PatchSampler(task.train, parameters["patch_size"], seed=task.seed)
        learner = Width(sampler, task.validation, parameters)
        if task.parent is not None:
            learner.load_weights(weights_path(task.parent.path, task.parent.weights, SUFFIX))
        names = (
            "best_by",
            "early_stopping_patience",
            "checkpoint_every",
            "keep_every",
            "keep_limit",
        )
        rules = {name: parameters[name] for name in names}
        schedule = Schedule(parameters["epochs"], parameters["steps_per_epoch"], 1, **rules)
        train(learner, schedule, task.model, ctx)

    def load(self, model: ModelFolder) -> None:
        path = weights_path(model.path, model.weights, SUFFIX)
        self.width = float(json.loads(path.read_text(encoding="utf-8"))["width"])

    def predict_image(self, image: Image) -> Prediction:
        return self._restored(image, None)

    def predict_large(self, image: ImageOnDisk, scratch: Path) -> Optional[Prediction]:
        return self._restored(image, scratch) if self.parameters.get("tile") else None

    def _restored(self, image: AnyImage, scratch: Optional[Path]) -> Prediction:
        overlap = [self.parameters.get("tile_overlap") or 0] * 2
        arguments = (self.parameters.get("tile"), overlap, [MULTIPLE] * 2)
        (found,) = predict_tiled(self._kernel, image, *arguments, scratch=scratch)
        return Prediction({"restored": found})

    def _kernel(self, pixels: np.ndarray) -> List[np.ndarray]:
        return [smooth(pixels.astype(np.float32), self.width)]

    def import_model(
        self, source: Path, format: str, model: Path, ctx: Context
    ) -> Mapping[str, Any]:
        """Take a width in its plain form."""
        try:
            plain = json.loads((source / PLAIN_NAME).read_text(encoding="utf-8"))
            width = float(plain["width"])
        except (ValueError, KeyError, TypeError) as error:
            raise ModelError(f"{PLAIN_NAME} is damaged: {error!r}", "Copy it anew.") from error
        path = weights_path(model, "best", SUFFIX)
        path.write_text(json.dumps({"width": width}), encoding="utf-8")
        return {"parameters": {"start_width": width}, "licence": plain.get("licence")}

    def export_model(self, model: ModelFolder, format: str, folder: Path, ctx: Context) -> None:
        """Give a width in its plain form."""
        weights = weights_path(model.path, model.weights, SUFFIX)
        (folder / PLAIN_NAME).write_text(weights.read_text(encoding="utf-8"), encoding="utf-8")


def smooth(pixels: np.ndarray, width: float) -> np.ndarray:
    """Filter along Y and X; channels are last, if there are any."""
    sizes = (width, width) + (0.0,) * (pixels.ndim - 2)
    found: np.ndarray = ndimage.gaussian_filter(pixels, sizes, mode="mirror")
    return found


def guessed(pixels: np.ndarray, width: float) -> np.ndarray:
    """Guess each pixel from those around it, by the filter without its middle."""
    point = np.zeros((65, 65))
    point[32, 32] = 1
    middle = smooth(point, width)[32, 32]
    around: np.ndarray = (smooth(pixels, width) - middle * pixels) / (1 - middle)
    return around


def loss_of(source: np.ndarray, target: Optional[np.ndarray], width: float) -> float:
    """Mean squared error against the target; without one, of guessing each pixel."""
    pixels = source.astype(np.float64)
    found = guessed(pixels, width) if target is None else smooth(pixels, width)
    aim = pixels if target is None else target.astype(np.float64)
    return float(np.mean((found - aim) ** 2))


networks = {"smooth": Smooth, "smoothself": Smooth}
