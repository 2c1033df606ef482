# SPDX-License-Identifier: BSD-3-Clause
"""What a careful user would write with the csbdeep library alone: what the benchmarks compare with."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from csbdeep.data import PercentileNormalizer, RawData, create_patches
from csbdeep.io import save_tiff_imagej_compatible
from framework import CARE, Config

from dl4mic_keras.framework import quiet, tf

Stamp = tuple[float, float]
"""Wall time and CPU time of the process, in seconds."""


def train(
    source: Path, target: Path, parameters: Mapping[str, Any], config: Path
) -> Sequence[Stamp]:
    """Train with the library's own patches and `train`; return the time at the end of each step.

    Parameters
    ----------
    source, target
        Folders of pairs.
    parameters
        Of the job: epochs, steps, the size of patches.
    config
        `config.json` of a model that the service trained, for the same settings.
    """
    stored = json.loads(config.read_text(encoding="utf-8"))
    clock = _Clock()
    with tempfile.TemporaryDirectory() as folder, quiet():
        images, answers = _patches(source, target, parameters, stored["n_dim"])
        model = CARE(Config(**stored), name="bare", basedir=folder)
        model.prepare_for_training()
        model.callbacks.append(clock)
        model.train(
            images,
            answers,
            validation_data=(images[:4], answers[:4]),
            epochs=parameters["epochs"],
            steps_per_epoch=parameters["steps_per_epoch"],
        )
    return clock.stamps


def _patches(
    source: Path, target: Path, parameters: Mapping[str, Any], dimensions: int
) -> tuple[Any, Any]:
    """Cut and normalise as the library's examples do, channels last."""
    names = sorted(path.name for path in source.glob("*.tif"))
    pairs = [(tifffile.imread(source / name), tifffile.imread(target / name)) for name in names]
    raw = RawData.from_arrays(*zip(*pairs), axes="ZYX"[-dimensions:])
    images, answers, _ = create_patches(
        raw, tuple(parameters["patch_size"]), parameters["patches_per_image"], verbose=False
    )
    return images[:, 0, ..., None], answers[:, 0, ..., None]


class _Clock(tf.keras.callbacks.Callback):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.stamps: list[Stamp] = []

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.stamps.append((time.perf_counter(), time.process_time()))


class Predictor:
    """A loop of the library's own prediction, the model loaded."""

    def __init__(self, model: Path) -> None:
        with quiet():
            self._model = CARE(None, name=model.name, basedir=str(model.parent))
        self._call = tf.function(self._model.keras_model)

    def predict(self, source: Path, output: Path, n_tiles: tuple[int, ...] | None = None) -> None:
        """Read, restore and write a folder of images."""
        axes = self._model.config.axes.replace("C", "")
        for path in sorted(source.glob("*.tif")):
            normalizer = PercentileNormalizer(2, 99.8)
            with quiet():
                image = tifffile.imread(path)
                restored = self._model.predict(image, axes, normalizer, n_tiles=n_tiles)
            save_tiff_imagej_compatible(str(output / path.name), restored, axes=axes)

    def compute(self, pixels: np.ndarray) -> None:
        """Run the network alone, compiled, on ((z,) y, x)."""
        self._call(pixels.astype(np.float32)[np.newaxis, ..., np.newaxis])
