# SPDX-License-Identifier: BSD-3-Clause
"""Models as other people have them: made and read by the csbdeep library alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from csbdeep.data import PercentileNormalizer
from framework import CARE, Config
from jobs import image_of

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
