# SPDX-License-Identifier: BSD-3-Clause
"""Model folders as the ZeroCostDL4Mic notebooks leave them, and how far two images are apart."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np

LEARNING_RATE = 0.0002
"""Of the epoch of the lowest validation loss, in the record of `as_notebook`."""


def as_notebook(trained: Path, folder: Path) -> Path:
    """Make of a model of ours the folder that a notebook leaves, with its reports and archives beside."""
    folder.mkdir(parents=True)
    weights = ("weights_best.h5", "weights_last.h5")
    for path in [*(trained / name for name in weights), *trained.glob("thresholds.json")]:
        shutil.copyfile(path, folder / path.name)
    stored = json.loads((trained / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**stored, "train_tensorboard": True}))
    (folder / "TF_SavedModel.zip").write_bytes(b"PK\x03\x04")
    (folder / "rawdata.npz").write_bytes(b"PK\x03\x04")
    (folder / f"{folder.name}_training_report.pdf").write_bytes(b"%PDF")
    quality = folder / "Quality Control"
    quality.mkdir()
    with (quality / "training_evaluation.csv").open("w", newline="") as file:
        rows = [
            ["loss", "val_loss", "learning rate"],
            [0.5, 0.4, 0.0004],
            [0.3, 0.2, LEARNING_RATE],
            [0.2, 0.3, 0.0001],
        ]
        csv.writer(file).writerows(rows)
    return folder


def difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Largest difference, as a share of the range of the library's result, which is not constant."""
    assert ours.shape == theirs.shape and np.ptp(theirs) > 0
    return float(np.abs(ours - theirs).max() / np.ptp(theirs))
