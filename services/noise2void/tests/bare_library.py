# SPDX-License-Identifier: BSD-3-Clause
"""What a careful user would write with the n2v library alone: what the benchmarks compare with."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from csbdeep.io import save_tiff_imagej_compatible
from library import N2V, configured
from n2v.internals.N2V_DataGenerator import N2V_DataGenerator

from dl4mic_keras.framework import quiet, tf

Stamp = tuple[float, float]
"""Wall time and CPU time of the process, in seconds."""


def train(
    source: Path, target: Path | None, parameters: Mapping[str, Any], config: Path
) -> Sequence[Stamp]:
    """Train with the library's own patches and `train`; return the time at the end of each step.

    Parameters
    ----------
    source
        Folder of noisy images.
    target
        There is none.
    parameters
        Of the job: epochs and steps.
    config
        `config.json` of a model that the service trained, for the same settings.
    """
    stored = json.loads(config.read_text(encoding="utf-8"))
    images = [tifffile.imread(path) for path in sorted(source.glob("*.tif"))]
    clock = _Clock()
    with tempfile.TemporaryDirectory() as folder, quiet():
        patches = N2V_DataGenerator().generate_patches_from_list(
            [each[np.newaxis, ..., np.newaxis] for each in images],
            shape=tuple(stored["n2v_patch_shape"]),
            augment=False,
        )
        model = N2V(configured(stored), name="bare", basedir=folder)
        model.prepare_for_training()
        model.callbacks.append(clock)
        model.train(patches, patches[:4], parameters["epochs"], parameters["steps_per_epoch"])
    return clock.stamps


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
            self._model = N2V(None, name=model.name, basedir=str(model.parent))
        self._call = tf.function(self._model.keras_model)

    def predict(self, source: Path, output: Path, n_tiles: tuple[int, ...] | None = None) -> None:
        """Read, denoise and write a folder of images."""
        axes = self._model.config.axes.replace("C", "")
        for path in sorted(source.glob("*.tif")):
            with quiet():
                pixels = tifffile.imread(path).astype(np.float32)
                denoised = self._model.predict(pixels, axes=axes, n_tiles=n_tiles)
            save_tiff_imagej_compatible(str(output / path.name), denoised, axes=axes)

    def compute(self, pixels: np.ndarray) -> None:
        """Run the network alone, compiled, on ((z,) y, x)."""
        self._call(pixels.astype(np.float32)[np.newaxis, ..., np.newaxis])
