# SPDX-License-Identifier: BSD-3-Clause
"""Models as other people have them: made and read by the csbdeep library alone."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from csbdeep.data import PercentileNormalizer
from framework import CARE, Config
from jobs import EXAMPLE

from dl4mic_keras.framework import quiet


def opened(folder: Path) -> Any:
    """Open a folder as a user of the library does."""
    with quiet():
        return CARE(None, name=folder.name, basedir=str(folder.parent))


def restored_of(folder: Path, pixels: np.ndarray, axes: str) -> list[np.ndarray]:
    """Restore an image with the library alone: the result, and the scale of a probabilistic model."""
    normalizer = PercentileNormalizer(2, 99.8)
    with quiet():
        model = opened(folder)
        if not model.config.probabilistic:
            return [model.predict(pixels, axes, normalizer)]
        found = model.predict_probabilistic(pixels, axes, normalizer)
    return [np.asarray(found.mean()), np.asarray(found.scale())]


def difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Largest difference, as a share of the range of the library's result."""
    assert ours.shape == theirs.shape
    return float(np.abs(ours - theirs).max() / np.ptp(theirs))


def image_of(network: str) -> Path:
    """Return the example's test image."""
    (image,) = (EXAMPLE / network / "test" / "source").glob("*.tif")
    return image


def pixels_of(network: str) -> np.ndarray:
    return np.asarray(tifffile.imread(image_of(network)))


def untrained(folder: Path, axes: str, **options: Any) -> Path:
    """Make a model of the library with random weights, also in its last layers."""
    with quiet():
        model = CARE(Config(axes, **options), name=folder.name, basedir=str(folder.parent))
        rng = np.random.default_rng(0)
        shapes = [each.shape for each in model.keras_model.get_weights()]
        model.keras_model.set_weights([rng.normal(0, 0.1, each) for each in shapes])
        model.keras_model.save_weights(str(folder / "weights_best.h5"))
    return folder


def as_notebook(trained: Path, folder: Path) -> Path:
    """Make of a model of ours the folder that a ZeroCostDL4Mic notebook leaves."""
    folder.mkdir(parents=True)
    stored = json.loads((trained / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**stored, "train_tensorboard": True}))
    for name in ("weights_best.h5", "weights_last.h5"):
        shutil.copyfile(trained / name, folder / name)
    quality = folder / "Quality Control"
    quality.mkdir()
    (folder / "TF_SavedModel.zip").write_bytes(b"PK\x03\x04")
    (folder / "rawdata.npz").write_bytes(b"PK\x03\x04")
    with (quality / "training_evaluation.csv").open("w", newline="") as file:
        rows = [["loss", "val_loss", "learning rate"], [0.5, 0.4, 0.0004], [0.3, 0.2, 0.0002]]
        csv.writer(file).writerows(rows)
    return folder
