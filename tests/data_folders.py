# SPDX-License-Identifier: BSD-3-Clause
"""A small data set on disk, and the request that names it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict

import numpy as np
import pytest

from dl4mic_sdk.data_check import DataSummary, check_data
from dl4mic_sdk.errors import DataError
from dl4mic_sdk.images import Image, write

PARAMETERS = {
    "validation_fraction": 0.1,
    "split": None,
    "seed": 0,
    "channel": None,
    "patch_size": None,
}


def labelled(shape: Any = (64, 80), seed: int = 0) -> np.ndarray:
    """Two objects of 10 x 20 and 20 x 20 pixels, at any place."""
    labels = np.zeros(shape, np.uint16)
    y, x = np.random.default_rng(seed).integers(0, 10, 2)
    labels[..., y : y + 10, x : x + 20] = 1
    labels[..., y + 30 : y + 50, x + 40 : x + 60] = 5
    return labels


class Folders:
    """A data set on disk and the request that names it."""

    def __init__(self, root: Path, count: int = 4) -> None:
        self.root = root
        for folder in ("images", "masks", "1"):
            (root / folder).mkdir()
        for number in range(count):
            self.image(
                number, np.random.default_rng(number).integers(1, 200, (64, 80)).astype(np.uint8)
            )
            self.mask(number, labelled(seed=number))
        self.request: Dict[str, Any] = {
            "verb": "train",
            "network": "blur",
            "parameters": dict(PARAMETERS),
            "data": {"source": str(root / "images"), "target": str(root / "masks"), "axes": ""},
            "validation": None,
            "previous": None,
            "manifest": {"supervision": "label_images", "axes": ["YX"]},
        }

    def image(self, name: Any, pixels: np.ndarray, axes: str = "", folder: str = "images") -> Path:
        path = self.root / folder / "{}.tif".format(name)
        write(path, Image(pixels, axes or "TZCYX"[-pixels.ndim :], {"X": 0.5, "Y": 0.5}))
        return path

    def mask(self, name: Any, pixels: np.ndarray, axes: str = "") -> Path:
        return self.image(name, pixels, axes, "masks")

    def check(self) -> DataSummary:
        return check_data(self.request, self.root / "1")

    def fault(self) -> DataError:
        with pytest.raises(DataError) as caught:
            self.check()
        return caught.value
