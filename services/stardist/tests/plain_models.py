# SPDX-License-Identifier: BSD-3-Clause
"""Models as other people have them: made and read by the stardist library alone."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from csbdeep.utils import normalize
from framework import Config2D, Config3D, StarDist2D, StarDist3D

from dl4mic_keras.framework import quiet

BRUCE = Path(
    os.environ.get("DL4MIC_TEST_WEIGHTS", Path(__file__).parents[4] / "shared" / "data" / "weights")
)
"""Folder of models of other people, where there is one: ``stardist2d_bruce_psyn``, of the package napari-bruce."""


def opened(folder: Path) -> Any:
    """Open a folder as a user of the library does."""
    dimensions = json.loads((folder / "config.json").read_text())["n_dim"]
    kind = StarDist2D if dimensions == 2 else StarDist3D
    with quiet():
        return kind(None, name=folder.name, basedir=str(folder.parent))


def labels_of(folder: Path, image: Path) -> np.ndarray:
    """Segment an image with the library alone, as its examples do."""
    pixels = normalize(tifffile.imread(image), 1, 99.8)
    with quiet():
        labels, _ = opened(folder).predict_instances(pixels, show_tile_progress=False)
    return np.asarray(labels)


def untrained_3d(folder: Path) -> Path:
    """Make a small 3D model of the library, of whose weights nothing was learned."""
    config = Config3D(rays=8, grid=(1, 2, 2), unet_n_depth=1, unet_n_filter_base=4)
    return _saved(StarDist3D(config, name=folder.name, basedir=str(folder.parent)), folder)


def untrained_2d(folder: Path, **options: Any) -> Path:
    """Make a small 2D model of the library, of whose weights nothing was learned."""
    config = Config2D(n_rays=8, unet_n_depth=1, unet_n_filter_base=4, **options)
    return _saved(StarDist2D(config, name=folder.name, basedir=str(folder.parent)), folder)


def _saved(model: Any, folder: Path) -> Path:
    model.keras_model.save_weights(str(folder / "weights_best.h5"))
    (folder / "thresholds.json").write_text('{"prob": 0.5, "nms": 0.4}')
    return folder
