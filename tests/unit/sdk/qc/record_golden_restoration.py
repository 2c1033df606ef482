# SPDX-License-Identifier: BSD-3-Clause
"""Record golden_restoration.json: small images, and what NumPy and scikit-image make of them by themselves.

Run by hand: ``python record_golden_restoration.py > golden_restoration.json``. Nothing of the SDK is used: every
number is computed anew from its definition.
"""

from __future__ import annotations

import base64
import json
import sys
import zlib
from typing import Any, Dict, Iterator, Tuple

import numpy as np
from scipy.ndimage import gaussian_filter
from skimage.filters import threshold_otsu
from skimage.metrics import structural_similarity

Pair = Tuple[np.ndarray, np.ndarray]


def scene(random: np.random.RandomState, *shape: int) -> np.ndarray:
    rough = gaussian_filter(random.rand(*shape), 2)
    return (rough - rough.min()) / (rough.max() - rough.min())


def cases() -> Iterator[Tuple[str, np.ndarray, np.ndarray]]:
    """Yield name, target and prediction; stacks have three axes."""
    random = np.random.RandomState(4)
    for index, noise in enumerate((0.02, 0.1, 0.5)):
        target = (scene(random, 40, 48) * 60000).astype(np.uint16)
        image = np.clip(target + random.normal(0, noise * 60000, target.shape), 0, 65535)
        yield "noisy-{}".format(index), target, image.astype(np.uint16)
    target = (scene(random, 32, 32) * 255).astype(np.uint8)
    yield "smoothed", target, gaussian_filter(target.astype(np.float32), 1.5)
    yield "another-gain", target, (target * 3.0 - 1000).astype(np.float32)
    yield "inverted", target, (255 - target).astype(np.uint8)
    spots = np.zeros((40, 40))
    spots[random.randint(4, 36, 9), random.randint(4, 36, 9)] = 1.0
    sharp = (gaussian_filter(spots, 1.0) * 4000 + 100).astype(np.uint16)
    yield "spots", sharp, (gaussian_filter(spots, 2.0) * 9000 + 300).astype(np.float32)
    stack = scene(random, 4, 24, 24).astype(np.float32)
    yield "stack", stack, (stack + random.normal(0, 0.1, stack.shape)).astype(np.float32)


def on_unit_scale(target: np.ndarray) -> np.ndarray:
    low, high = np.percentile(target, [0.1, 99.9])
    return (target - low) / (high - low)


def standard(target: np.ndarray, image: np.ndarray) -> Pair:
    unit = on_unit_scale(target)
    slope, offset = np.polyfit(image.ravel(), unit.ravel(), 1)
    return np.clip(unit, 0, 1), np.clip(slope * image + offset, 0, 1)


def zerocost(target: np.ndarray, image: np.ndarray) -> Pair:
    unit, other = on_unit_scale(target), image - image.mean()
    unit = unit - unit.mean()
    gain = np.cov(other.ravel(), unit.ravel())[0, 1] / np.var(other.ravel())
    return unit, gain * other


def numbers(target: np.ndarray, image: np.ndarray) -> Dict[str, float]:
    """Compute every number of a prediction by its own definition; planes along the first axis."""
    clipped = standard(target, image)
    mask = clipped[0] > threshold_otsu(np.append(clipped[0].ravel(), [0.0, 1.0]), nbins=256)
    planes = [zerocost(one, other) for one, other in zip(target, image)]
    centred = np.stack([one for one, _ in planes]), np.stack([other for _, other in planes])
    found = {"foreground": mask.mean()}
    for profile, (unit, other) in (("standard", clipped), ("zerocost", centred)):
        for ending, inside in (("", np.ones_like(mask)), (".foreground", mask)):
            error = (other - unit)[inside]
            root = np.mean(error**2) if profile == "standard" else np.mean(np.abs(error))
            found[profile + ".ssim" + ending] = similarity(unit, other, inside)
            found[profile + ".nrmse" + ending] = np.sqrt(root)
            found[profile + ".psnr" + ending] = min(
                100.0, -10 * np.log10(np.mean(error**2) + 1e-300)
            )
    found["pearson"] = np.corrcoef(target.ravel(), image.ravel())[0, 1]
    found["pearson.foreground"] = np.corrcoef(target[mask], image[mask])[0, 1]
    return {key: float("{:.12g}".format(value)) for key, value in found.items()}


def similarity(unit: np.ndarray, other: np.ndarray, inside: np.ndarray) -> float:
    """Average the map over the pixels whose window lies in the plane."""
    options: Dict[str, Any] = {
        "gaussian_weights": True,
        "sigma": 1.5,
        "use_sample_covariance": False,
    }
    maps = [
        structural_similarity(*each, data_range=1.0, full=True, **options)[1]
        for each in zip(unit, other)
    ]
    inner = np.s_[:, 5:-5, 5:-5]
    return float(np.stack(maps)[inner][inside[inner]].mean())


def packed(image: np.ndarray) -> Dict[str, Any]:
    data = np.ascontiguousarray(image, image.dtype.newbyteorder("<")).tobytes()
    text = base64.b64encode(zlib.compress(data, 9)).decode("ascii")
    return {"dtype": image.dtype.newbyteorder("<").str, "shape": image.shape, "data": text}


def main() -> None:
    images = []
    for name, target, image in cases():
        stacks = [each.reshape((-1, *each.shape[-2:])) for each in (target, image)]
        found = numbers(*(each.astype(np.float64) for each in stacks))
        images.append(
            {"name": name, "target": packed(target), "prediction": packed(image), "numbers": found}
        )
    json.dump({"images": images}, sys.stdout, separators=(",", ":"))
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
