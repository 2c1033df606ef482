# SPDX-License-Identifier: BSD-3-Clause
"""Models as other people have them: made and read by the n2v library alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from n2v.models import N2V, N2VConfig

from dl4mic_keras.framework import quiet


def opened(folder: Path) -> Any:
    """Open a folder as a user of the library does."""
    with quiet():
        return N2V(None, name=folder.name, basedir=str(folder.parent))


def denoised(folder: Path, pixels: np.ndarray, axes: str) -> np.ndarray:
    """Denoise an image with the library alone, as its examples do."""
    model = opened(folder)
    with quiet():
        return np.asarray(model.predict(pixels.astype(np.float32), axes=axes))


def untrained(folder: Path, shape: tuple[int, ...] = (1, 16, 16, 1), **options: Any) -> Path:
    """Make a small model of the library, of whose weights nothing was learned."""
    images = np.random.default_rng(0).normal(100, 10, shape).astype(np.float32)
    small = {"unet_n_depth": 1, "unet_n_first": 4, "unet_kern_size": 3, "train_tensorboard": False}
    with quiet():
        config = N2VConfig(images, **{**small, **options})
        model = N2V(config, name=folder.name, basedir=str(folder.parent))
        model.keras_model.save_weights(str(folder / "weights_best.h5"))
    return folder
