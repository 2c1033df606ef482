# SPDX-License-Identifier: BSD-3-Clause
"""Quality control of 100 pairs of 1024 x 1024 px against scikit-image, called once for each number.

``restoration_quality.py``, in the environment of the SDK or of any service. Both sides read target, prediction and
source from their files and compute the numbers of both profiles, whole and of the foreground, for prediction and
source; nothing is tuned, drawn or mapped. Runs of five pairs go in turns; the ratio is the median of those of a turn.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import service_side
from scipy.ndimage import gaussian_filter
from scipy.stats import pearsonr
from skimage.filters import threshold_otsu
from skimage.metrics import (
    mean_squared_error,
    peak_signal_noise_ratio,
    structural_similarity,
)

from dl4mic_sdk.images import Image, read, write
from dl4mic_sdk.qc.restoration import compare_images
from dl4mic_sdk.qc.restoration_definitions import numbers

PAIRS, SIDE, TURN = 100, 1024, 5
COMPARED = ("prediction", "source")
PARTS = ("target", *COMPARED)


def main() -> None:
    """Measure, check that both sides agree, and print."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        make_triples(folder)
        names = [f"{number:03d}.tif" for number in range(PAIRS)]
        # The first pair warms up, and shows that both sides compute the same.
        disagreement = difference(ours(folder, names[0]), theirs(folder, names[0]))
        turns = [names[start : start + TURN] for start in range(0, PAIRS, TURN)]
        seconds = [(timed(ours, folder, each), timed(theirs, folder, each)) for each in turns]
    one, other = (sum(each[side] for each in seconds) for side in (0, 1))
    service_side.report(
        {
            "ours_s": one,
            "reference_s": other,
            "ratio": statistics.median(first / second for first, second in seconds),
            "largest_difference_1e9": disagreement * 1e9,
        }
    )


def make_triples(folder: Path) -> None:
    """Write smooth targets, noisy sources of them, and predictions that a filter made of these."""
    random = np.random.default_rng(0)
    for part in PARTS:
        (folder / part).mkdir()
    base = gaussian_filter(random.random((SIDE, SIDE)), 3)
    base = (base - base.min()) / (base.max() - base.min()) * 40000
    for number in range(PAIRS):
        target = service_side.varied(base, number, SIDE).astype(np.uint16)
        source = np.clip(target + random.normal(0, 3000, target.shape), 0, 65535).astype(np.uint16)
        prediction = gaussian_filter(source.astype(np.float32), 1.5)
        for part, pixels in zip(PARTS, (target, prediction, source), strict=True):
            write(folder / part / f"{number:03d}.tif", Image(pixels, "YX"))


def ours(folder: Path, name: str) -> dict[str, float | None]:
    """Compute the numbers as quality control does."""
    target, *images = (read(folder / part / name) for part in PARTS)
    compared = dict(zip(COMPARED, images, strict=True))
    return numbers(compare_images(target, compared)[0], COMPARED)


def theirs(folder: Path, name: str) -> dict[str, float | None]:
    """Compute the same with one call of a library for each number."""
    target, *images = (read(folder / part / name).pixels.astype(np.float64) for part in PARTS)
    found: dict[str, float | None] = {}
    for of, image in zip(COMPARED, images, strict=True):
        ending = "" if of == "prediction" else "." + of
        mask = foreground(target)
        for profile, pair in (("standard", standard), ("zerocost", zerocost)):
            for region, inside in (("", None), (".foreground", mask)):
                for metric, value in scores(*pair(target, image), profile, inside):
                    found[f"restoration.{profile}.{metric}{region}{ending}/1"] = value
        found[f"restoration.pearson{ending}/1"] = pearsonr(target.ravel(), image.ravel())[0]
        inside_pearson = pearsonr(target[mask], image[mask])[0]
        found[f"restoration.pearson.foreground{ending}/1"] = inside_pearson
        found["restoration.foreground/1"] = mask.mean()
    return found


def standard(target: np.ndarray, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bring both onto the scale of profile ``standard``."""
    unit = on_unit_scale(target)
    slope, offset = np.polyfit(image.ravel(), unit.ravel(), 1)
    return np.clip(unit, 0, 1), np.clip(slope * image + offset, 0, 1)


def zerocost(target: np.ndarray, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bring both onto the scale of profile ``zerocost``."""
    unit, other = on_unit_scale(target), image - image.mean()
    unit = unit - unit.mean()
    return unit, np.cov(other.ravel(), unit.ravel())[0, 1] / np.var(other) * other


def on_unit_scale(target: np.ndarray) -> np.ndarray:
    low, high = np.percentile(target, [0.1, 99.9])
    unit: np.ndarray = (target - low) / (high - low)
    return unit


def foreground(target: np.ndarray) -> np.ndarray:
    """Find the foreground of a target."""
    unit = np.clip(on_unit_scale(target), 0, 1)
    mask: np.ndarray = unit > threshold_otsu(unit, nbins=256)
    return mask


def scores(
    unit: np.ndarray, other: np.ndarray, profile: str, inside: np.ndarray | None
) -> Iterator[tuple[str, float]]:
    """Compute SSIM, NRMSE and PSNR over all pixels, or over those inside a mask."""
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    mean, whole = structural_similarity(unit, other, data_range=1.0, full=True, **options)
    if inside is not None:
        mean = whole[5:-5, 5:-5][inside[5:-5, 5:-5]].mean()
        unit, other = unit[inside], other[inside]
    squared = mean_squared_error(unit, other)
    absolute = np.abs(unit - other).mean()
    yield "ssim", float(mean)
    yield "nrmse", float(np.sqrt(squared if profile == "standard" else absolute))
    yield "psnr", float(peak_signal_noise_ratio(unit, other, data_range=1.0))


def difference(one: dict[str, float | None], other: dict[str, float | None]) -> float:
    """Return the largest difference between two sets of the same numbers."""
    if set(one) != set(other):
        raise SystemExit(f"the two sides compute other numbers: {sorted(set(one) ^ set(other))}")
    return max(abs((one[key] or 0.0) - (other[key] or 0.0)) for key in one)


def timed(compute: Callable[[Path, str], object], folder: Path, names: list[str]) -> float:
    """Time the pairs of one turn."""
    began = time.perf_counter()
    for name in names:
        compute(folder, name)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
