# SPDX-License-Identifier: BSD-3-Clause
"""What a careful user would write with the stardist library alone: what the benchmarks compare with."""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import Any, List, Mapping, Optional, Sequence, Tuple

import numpy as np
import tifffile
from csbdeep.io import save_tiff_imagej_compatible
from csbdeep.utils import normalize
from framework import Config2D, Config3D, StarDist2D, StarDist3D
from stardist.utils import fill_label_holes

from dl4mic_keras.framework import quiet, tf

Stamp = Tuple[float, float]
"""Wall time and CPU time of the process, in seconds."""


def train(
    source: Path, target: Path, parameters: Mapping[str, Any], config: Path
) -> Sequence[Stamp]:
    """Train with the library's own `train` and augmentation; return the time at the end of each step.

    Parameters
    ----------
    source, target
        Folders of images and label images.
    parameters
        Of the job: epochs and steps.
    config
        `config.json` of a model that the service trained, for the same settings.
    """
    names = sorted(path.name for path in source.glob("*.tif"))
    images = [normalize(tifffile.imread(source / name), 1, 99.8) for name in names]
    labels = [fill_label_holes(tifffile.imread(target / name).astype(np.int32)) for name in names]
    stored = json.loads(config.read_text(encoding="utf-8"))
    kind, form = (StarDist2D, Config2D) if stored["n_dim"] == 2 else (StarDist3D, Config3D)
    clock = _Clock()
    with tempfile.TemporaryDirectory() as folder, quiet():
        model = kind(form(**stored), name="bare", basedir=folder)
        model.prepare_for_training()
        model.callbacks.append(clock)
        model.train(
            images,
            labels,
            validation_data=(images[:1], labels[:1]),
            augmenter=_augment,
            epochs=parameters["epochs"],
            steps_per_epoch=parameters["steps_per_epoch"],
        )
    return clock.stamps


class _Clock(tf.keras.callbacks.Callback):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.stamps: List[Stamp] = []

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.stamps.append((time.perf_counter(), time.process_time()))


def _augment(image: np.ndarray, labels: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """Vary a patch as the library's training examples do, Z left alone."""
    axes = (labels.ndim - 2, labels.ndim - 1)
    if np.random.rand() > 0.5:
        image, labels = np.swapaxes(image, *axes), np.swapaxes(labels, *axes)
    for axis in axes:
        if np.random.rand() > 0.5:
            image, labels = np.flip(image, axis), np.flip(labels, axis)
    image = image * np.random.uniform(0.6, 2) + np.random.uniform(-0.2, 0.2)
    noise = 0.02 * np.random.uniform(0, 1) * np.random.normal(0, 1, image.shape)
    return image + noise, labels


class Predictor:
    """A loop of the library's own prediction, the model loaded."""

    def __init__(self, model: Path) -> None:
        stored = json.loads((model / "config.json").read_text(encoding="utf-8"))
        kind = StarDist2D if stored["n_dim"] == 2 else StarDist3D
        with quiet():
            self._model = kind(None, name=model.name, basedir=str(model.parent))
        self._call = tf.function(self._model.keras_model)

    def predict(
        self, source: Path, output: Path, n_tiles: Optional[Tuple[int, ...]] = None
    ) -> None:
        """Read, normalise, predict and write a folder of images."""
        for path in sorted(source.glob("*.tif")):
            image = tifffile.imread(path)
            labels, _ = self._model.predict_instances(
                normalize(image, 1, 99.8), n_tiles=n_tiles, show_tile_progress=False
            )
            save_tiff_imagej_compatible(
                str(output / path.name), labels.astype(np.uint16), axes="ZYX"[-labels.ndim :]
            )

    def compute(self, pixels: np.ndarray) -> None:
        """Run the network alone, compiled, on ((z,) y, x)."""
        self._call(pixels.astype(np.float32)[np.newaxis, ..., np.newaxis])
