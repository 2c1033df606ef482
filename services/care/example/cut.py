# SPDX-License-Identifier: BSD-3-Clause
"""Cuts the example images out of a field that cell-medussa carries, and of a stack that sdeconv carries.

2D: three parts of one field to learn from, and two, with strips of 32 pixels or more between, to test and predict.
3D: three parts of one stack to learn from, one to test on, with strips of 16 voxels between. That is enough to see
whether everything works, not to judge a network.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

HERE_2D = Path(__file__).resolve().parent / "care2d"
HERE_3D = HERE_2D.with_name("care3d")
TRAIN_2D = {
    "a": np.s_[0:192, 0:192],
    "b": np.s_[192:384, 0:192],
    "c": np.s_[416:608, 96:288],
}
TEST_2D, PREDICT_2D = np.s_[192:384, 224:416], np.s_[420:612, 320:432]
TRAIN_3D = {
    "a": np.s_[8:24, 0:64, 0:64],
    "b": np.s_[8:24, 64:128, 0:64],
    "c": np.s_[8:24, 0:64, 64:128],
}
TEST_3D = np.s_[8:24, 144:208, 32:96]


def main(bacteria: str, pollen: str) -> None:
    """Write all example files; the folders hold FM and target, and low and high."""
    blurred = tifffile.imread(Path(bacteria) / "FM_upper.tif")
    sharp = tifffile.imread(Path(bacteria) / "target_upper.tif")
    for name, part in TRAIN_2D.items():
        save_pair(HERE_2D / "train", f"bacteria_{name}", blurred[part], sharp[part])
    save_pair(HERE_2D / "test", "bacteria_d", blurred[TEST_2D], sharp[TEST_2D])
    save(HERE_2D / "predict" / "bacteria_e.tif", blurred[PREDICT_2D])
    low = tifffile.imread(Path(pollen) / "low" / "pollen_left.tif")
    high = tifffile.imread(Path(pollen) / "high" / "pollen_left.tif")
    whole = np.rint(np.clip(low, 0, None))
    for name, part in TRAIN_3D.items():
        save_pair(HERE_3D / "train", f"pollen_{name}", whole[part], high[part])
    save_pair(HERE_3D / "test", "pollen_d", whole[TEST_3D], high[TEST_3D])
    save(HERE_3D / "predict" / "pollen_d.tif", whole[TEST_3D])


def save_pair(folder: Path, name: str, source: Any, target: Any) -> None:
    """Write an image and its target under one name."""
    save(folder / "source" / f"{name}.tif", source)
    save(folder / "target" / f"{name}.tif", target)


def save(path: Path, pixels: Any) -> None:
    """Write 16-bit pixels as ImageJ TIFF."""
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata = {"axes": "ZYX"[-pixels.ndim :]}
    tifffile.imwrite(
        path, pixels.astype(np.uint16), imagej=True, compression="zlib", metadata=metadata
    )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
