# SPDX-License-Identifier: BSD-3-Clause
"""Cuts the example images out of two that the stardist wheel carries, and of a series that laptrack carries.

2D: 336 columns of one image to learn from (the validation region is taken from them), a strip of 32 that nothing uses,
144 columns to test on. The images to segment are frames of the series, and its first three together.
3D: quarters of one stack with strips of 5 voxels between them, three to learn from and one to test on. That is enough
to see whether everything works, not to judge a network.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from stardist.data import test_image_nuclei_2d, test_image_nuclei_3d

HERE_2D = Path(__file__).resolve().parent / "stardist2d"
HERE_3D = HERE_2D.with_name("stardist3d")
TRAIN_2D, TEST_2D = np.s_[:, :336], np.s_[:, 368:]
TRAIN_3D = {"a": np.s_[:, :28, :26], "b": np.s_[:, :28, 31:], "c": np.s_[:, 33:, :26]}
TEST_3D = np.s_[:, 33:, 31:]


def main(frames: str) -> None:
    """Write all example files; `frames` is laptrack's images.tif."""
    image, labels = test_image_nuclei_2d(return_mask=True)
    save_pair(HERE_2D / "train", "nuclei", image[TRAIN_2D], labels[TRAIN_2D])
    save_pair(HERE_2D / "test", "nuclei", image[TEST_2D], labels[TEST_2D])
    series = tifffile.imread(frames)
    for number in (0, 5):
        save(HERE_2D / "predict" / f"epidermis_{number}.tif", series[number], "YX")
    save(HERE_2D / "series" / "epidermis.tif", series[:3], "TYX")
    image, labels = test_image_nuclei_3d(return_mask=True)
    for name, part in TRAIN_3D.items():
        save_pair(HERE_3D / "train", f"nuclei_{name}", image[part], labels[part])
    save_pair(HERE_3D / "test", "nuclei_d", image[TEST_3D], labels[TEST_3D])
    save(HERE_3D / "predict" / "nuclei_d.tif", image[TEST_3D], "ZYX")


def save_pair(folder: Path, name: str, image: Any, labels: Any) -> None:
    """Write an image and its label image under one name."""
    save(folder / "source" / f"{name}.tif", image, "ZYX"[-image.ndim :])
    save(folder / "target" / f"{name}.tif", labels, "ZYX"[-labels.ndim :])


def save(path: Path, pixels: Any, axes: str) -> None:
    """Write 16-bit pixels, unchanged, as ImageJ TIFF."""
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata = {"axes": axes}
    tifffile.imwrite(
        path, pixels.astype(np.uint16), imagej=True, compression="zlib", metadata=metadata
    )


if __name__ == "__main__":
    main(sys.argv[1])
