# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Callable, List, Mapping, Tuple

import numpy as np
import pytest
from data_folders import Folders
from scipy import ndimage

from dl4mic_sdk.images import Image, write
from dl4mic_sdk.pair_facts import noise_correlation, noise_of, pair_facts, sharpness_of
from dl4mic_sdk.restoration_survey import chosen, plane_of

SIZE = 160


def scene(seed: int = 0, size: int = SIZE) -> np.ndarray:
    """Spots on a dark ground, as a microscope shows them, 0..1000."""
    points = (np.random.default_rng(seed).random((size, size)) > 0.995).astype(float)
    blurred: np.ndarray = ndimage.gaussian_filter(points, 2, mode="wrap")
    return 1000 * blurred / blurred.max()


def noisy(image: np.ndarray, strength: float = 40, seed: int = 1) -> np.ndarray:
    found: np.ndarray = image + np.random.default_rng(seed).normal(0, strength, image.shape)
    return found


@pytest.mark.parametrize("shift", [(0, 0), (1, 0), (-3, 5), (8, -6)])
def test_the_shift_of_a_target_is_found_under_noise(shift: Tuple[int, int]) -> None:
    target = np.roll(scene(), shift, (0, 1))
    facts = pair_facts(noisy(scene()), noisy(target, 5, seed=2))
    assert facts is not None
    assert facts.shift == pytest.approx(shift, abs=0.25) and facts.likeness > 0.9
    assert facts.gain == pytest.approx(0, abs=0.002) or shift != (0, 0)
    assert facts.gain > 0.005 or shift == (0, 0)


def test_noise_is_measured_in_the_units_of_the_image() -> None:
    assert noise_of(noisy(np.zeros((200, 200)), 7)) == pytest.approx(7, rel=0.03)
    assert noise_of(noisy(scene(), 40)) == pytest.approx(40, rel=0.05)


def test_sharpness_is_of_the_picture_not_of_its_noise() -> None:
    clean, blurred = sharpness_of(scene()), sharpness_of(ndimage.gaussian_filter(scene(), 3))
    under_noise = sharpness_of(noisy(scene(), 60))
    assert clean is not None and blurred is not None and under_noise is not None
    assert under_noise == pytest.approx(clean, rel=0.1) and blurred < 0.7 * clean
    assert sharpness_of(noisy(np.zeros((SIZE, SIZE)))) is None


@pytest.mark.parametrize(
    "change, expected",
    [
        (lambda noise: noise, 0.0),
        (lambda noise: (noise + np.roll(noise, 1, 1)) / 2, 0.5),
        (lambda noise: (noise - np.roll(noise, 1, 0)) / 2, -0.5),
    ],
)
def test_noise_correlation_is_that_of_neighbours(change: Any, expected: float) -> None:
    """Of the mean of two neighbours it is 1/2, as they share one of two values."""
    noise = change(np.random.default_rng(0).normal(0, 20, (320, 320)))
    assert noise_correlation(scene(size=320) / 20 + noise) == pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize("plane", [np.full((200, 200), 7.0), np.zeros((20, 20))])
def test_where_there_is_nothing_to_see_nothing_is_said(plane: np.ndarray) -> None:
    assert noise_correlation(plane) is None and pair_facts(plane, plane) is None


@pytest.fixture
def pairs(folders: Folders) -> Folders:
    """Noisy images with good targets."""
    folders.request["manifest"]["supervision"] = "paired_images"
    for number in range(4):
        folders.image(number, noisy(scene(number), seed=number).astype(np.float32) + 500)
        folders.mask(number, noisy(scene(number), 2, number + 9).astype(np.float32) + 500)
    return folders


def codes(folders: Folders) -> List[str]:
    return [code for code, _ in folders.check().warnings]


def swap(folders: Folders) -> None:
    data = folders.request["data"]
    data["source"], data["target"] = data["target"], data["source"]


def shift(folders: Folders) -> None:
    folders.mask(2, np.roll(scene(2), (4, -7), (0, 1)).astype(np.float32))


def blur(folders: Folders) -> None:
    for number in range(4):
        folders.mask(number, ndimage.gaussian_filter(scene(number), 4).astype(np.float32))


def subtract(folders: Folders) -> None:
    folders.image(1, noisy(scene(1)).astype(np.float32) - 3)


def overexpose(folders: Folders) -> None:
    pixels = np.minimum(6 * scene(3), 4000).astype(np.uint16)
    pixels[:8, :8] = 4095  # 64 of 160 * 160 pixels
    folders.mask(3, pixels)


def flatten(folders: Folders) -> None:
    folders.mask(0, np.full((SIZE, SIZE), 5, np.uint16))


@pytest.mark.parametrize(
    "spoil, code, said",
    [
        (swap, "TARGETS_NOISIER", "were source and target swapped?"),
        (shift, "PAIRS_SHIFTED", "1 of 4 pairs that were looked at: 2 by 4 px along Y and -7 px"),
        (blur, "TARGETS_LESS_SHARP", "median of 4 pairs"),
        (subtract, "NEGATIVE_VALUES", "1.tif down to -"),
        (overexpose, "SATURATED_IMAGES", "(1): 3.tif 0.25% at 4095."),
        (flatten, "CONSTANT_IMAGES", "0.tif"),
    ],
)
def test_pairs_that_are_odd_are_warned_of(
    pairs: Folders, spoil: Callable[[Folders], None], code: str, said: str
) -> None:
    assert codes(pairs) == []
    spoil(pairs)
    found = dict(pairs.check().warnings)
    assert said in found[code]


def test_pairs_of_another_kind_of_picture_are_not_compared(pairs: Folders) -> None:
    """As in label-free prediction, where the target is another stain."""
    for number in range(4):
        pairs.mask(number, (1000 + scene(number + 20)).astype(np.float32))
    assert codes(pairs) == []


def test_noise_that_is_correlated_is_warned_of(folders: Folders) -> None:
    folders.request["manifest"]["supervision"] = "noisy_images"
    folders.request["data"]["target"] = ""
    for number in range(4):
        folders.image(number, noisy(scene(number), seed=number).astype(np.float32) + 500)
    assert codes(folders) == []
    for number in range(4):
        noise = ndimage.gaussian_filter(noisy(np.zeros((SIZE, SIZE)), 100, number), 0.8)
        folders.image(number, (scene(number) + noise).astype(np.float32) + 500)
    ((code, message),) = folders.check().warnings
    assert code == "NOISE_CORRELATED" and "median of 4 images" in message
    assert "hide the neighbours of a pixel too, where the network has a parameter" in message


def test_unequal_numbers_of_slices_are_refused(folders: Folders) -> None:
    folders.request["manifest"].update(supervision="paired_images", axes=["ZYX"])
    for number in range(4):
        pixels = np.random.default_rng(number).random((6, 64, 80)).astype(np.float32)
        folders.image(number, pixels, "ZYX")
        folders.mask(number, np.ones((5 if number == 1 else 6, 64, 80), np.uint8), "ZYX")
    assert folders.fault().files == [
        (str(folders.root / "masks" / "1.tif"), "has 5 slices, but its image has 6 slices")
    ]


def test_no_more_is_looked_at_than_some_planes(tmp_path: Path, folders: Folders) -> None:
    items = folders.check().items
    assert [each.name for each in chosen(items * 25)][:3] == ["0", "1", "2"]
    assert len(chosen(items * 25)) <= 8 and len(chosen(items)) == 4
    large = Image(np.zeros((5, 600, 700), np.uint8), "ZYX")
    write(tmp_path / "large.tif", large)
    plane = plane_of(
        items[0].__class__("large", tmp_path / "large.tif", None, "ZYX", (5, 600, 700))
    )
    assert plane is not None and plane.shape == (512, 512)
    (tmp_path / "large.tif").write_bytes(b"no image")
    assert plane_of(items[0].__class__("large", tmp_path / "large.tif", None, "", ())) is None


def write_model(folders: Folders, name: str, data: Mapping[str, Any]) -> None:
    """Have images predicted by a model that was trained on such data."""
    model = folders.root / "model"
    model.mkdir(exist_ok=True)
    record = {"network": "blur", "complete": True, "weights": ["best"], "data": data}
    (model / "model.json").write_text(json.dumps(record))
    (model / "weights_best.json").write_text("{}")
    reference = {"name": name, "folder": str(model), "weights": "best"}
    folders.request.update(verb="predict", models=[reference])
    folders.request["data"]["target"] = ""


def test_images_unlike_those_of_the_training_are_warned_of(folders: Folders) -> None:
    data = {"intensity": {"1": 5, "99.9": 900.0}, "pixel_size": {"X": 0.5, "Y": 0.2}}
    write_model(folders, "spots:1", data)
    found = dict(folders.check().warnings)
    assert set(found) == {"INTENSITIES_UNLIKE_TRAINING", "PIXEL_SIZE_UNLIKE_TRAINING"}
    assert "895 in those that spots:1 was trained on" in found["INTENSITIES_UNLIKE_TRAINING"]
    assert "0.5 µm along Y" in found["PIXEL_SIZE_UNLIKE_TRAINING"]
    write_model(folders, "spots:2", {"summary": "unknown"})
    assert folders.check().warnings == ()


def test_images_that_are_only_brighter_than_those_of_the_training_are_warned_of(
    folders: Folders,
) -> None:
    pixels = np.linspace(20000, 21000, SIZE * SIZE).astype(np.uint16).reshape(SIZE, SIZE)
    for number in range(4):
        folders.image(number, pixels)
    write_model(folders, "spots:1", {"intensity": {"1": 100, "50": 600, "99.9": 1100}})
    ((code, message),) = folders.check().warnings
    assert code == "INTENSITIES_UNLIKE_TRAINING"
    assert "median intensity is 2.05e+04 in these images, 600 in those" in message
    write_model(folders, "spots:2", {"intensity": {"1": 20000, "50": 20600, "99.9": 21000}})
    assert folders.check().warnings == ()
