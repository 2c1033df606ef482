# SPDX-License-Identifier: BSD-3-Clause
"""Makes the example images: ``python cut.py IMAGE STACK MOVIE``, of three packages that SOURCE.txt names.

Nuclei, to which noise is added as a camera adds it, so that what lies below it is known: 2D 304 columns of one image to
learn from (the validation region is taken from them), a strip of 32 that nothing uses, 176 columns to test on; 3D 16
planes of one stack, parted alike. And a movie with noise of its own, of which nobody knows what lies below it.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

HERE_2D = Path(__file__).resolve().parent / "n2v2d"
HERE_3D = HERE_2D.with_name("n2v3d")
TRAIN_2D, TEST_2D = np.s_[:304, :304], np.s_[:304, 336:]
TRAIN_3D, TEST_3D = np.s_[20:36, :128, :128], np.s_[20:36, :128, 160:224]
OFFSET = 100.0
"""Grey value of a camera in the dark."""

GAIN = {2: 4.0, 3: 800.0}
"""Grey values a photon, in 2D and 3D."""

READ_NOISE = {2: 12.0, 3: 2500.0}
"""Spread of grey values in the dark."""

FRAMES = 12


def main(image: str, stack: str, movie: str) -> None:
    """Write all example files."""
    plane, volume = tifffile.imread(image), tifffile.imread(stack)
    rng = np.random.default_rng(0)
    save_noisy(HERE_2D, "nuclei", plane, (TRAIN_2D, TEST_2D), rng)
    save_noisy(HERE_3D, "nuclei", volume, (TRAIN_3D, TEST_3D), rng)
    save(HERE_2D / "movie" / "telomeres.tif", tifffile.imread(movie)[:FRAMES], "TYX")


def save_noisy(folder: Path, name: str, clean: Any, parts: Any, rng: np.random.Generator) -> None:
    """Write the part to learn from with noise, and the part to test on with and without."""
    gain, spread = GAIN[clean.ndim], READ_NOISE[clean.ndim]
    noisy = rng.poisson(clean / gain) * gain + OFFSET + rng.normal(0.0, spread, clean.shape)
    train, test = parts
    axes = "ZYX"[-clean.ndim :]
    save(folder / "train" / f"{name}.tif", noisy[train], axes)
    save(folder / "test" / "source" / f"{name}.tif", noisy[test], axes)
    save(folder / "test" / "target" / f"{name}.tif", clean[test] + OFFSET, axes)


def save(path: Path, pixels: Any, axes: str) -> None:
    """Write 16-bit pixels as ImageJ TIFF."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stored = np.clip(np.round(pixels), 0, 65535).astype(np.uint16)
    tifffile.imwrite(path, stored, imagej=True, compression="zlib", metadata={"axes": axes})


if __name__ == "__main__":
    main(*sys.argv[1:])
