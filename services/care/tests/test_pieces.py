# SPDX-License-Identifier: BSD-3-Clause
"""The pieces of which training and prediction are made, each by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import architecture
import numpy as np
import pytest
from architecture import Channels
from batches import Bright, augmentation, percentile_ranges, training_batches, validation_batches
from csbdeep.data import PercentileNormalizer
from csbdeep.internals.nets import receptive_field_unet
from framework import Config
from intensities import Percentiles
from jobs import RECORDS

from dl4mic_keras.unet import context
from dl4mic_sdk.errors import ModelError
from dl4mic_sdk.images import Image, write
from dl4mic_sdk.pairs import Item

DEFAULTS = {
    network: {name: each.get("default") for name, each in record["parameters"].items()}
    for network, record in RECORDS.items()
}
SMALL = {**DEFAULTS["care2d"], "batch_size": 3, "foreground_fraction": 0.0}


def item(folder: Path, source: np.ndarray, target: np.ndarray, axes: str = "YX") -> Item:
    for name, pixels in (("source", source), ("target", target)):
        (folder / name).mkdir(exist_ok=True)
        write(folder / name / "a.tif", Image(pixels, axes[-pixels.ndim :]))
    files = [folder / name / "a.tif" for name in ("source", "target")]
    return Item("a", files[0], files[1], axes[-source.ndim :], source.shape)


@pytest.fixture
def pair(tmp_path: Path) -> Item:
    rng = np.random.default_rng(0)
    source = rng.integers(100, 1000, (64, 80)).astype(np.uint16)
    return item(tmp_path, source, (2 * source + 7).astype(np.uint16))


def test_patches_are_normalised_as_the_library_does(pair: Item) -> None:
    parameters = {**SMALL, "augmentation": False}
    batches, _ = validation_batches(parameters, (64, 80), [pair], 0)
    batch = batches(0)
    assert batch.images.shape == batch.answers.shape == (3, 64, 80, 1)
    assert batch.images.dtype == batch.answers.dtype == np.float32
    for ours, image in ((batch.images, pair.read_source()), (batch.answers, pair.read_target())):
        theirs = PercentileNormalizer(2, 99.8).before(image.pixels, "YX")
        np.testing.assert_allclose(ours[0, ..., 0], theirs, atol=1e-6)


def test_percentiles_of_training_are_drawn_from_their_ranges(pair: Item) -> None:
    pixels = pair.read_source().pixels
    rng = np.random.default_rng(1)
    drawn = [Percentiles((1, 3), (99.5, 99.9)).draw(pair, rng)[0] for _ in range(50)]
    low, high = np.transpose(drawn)
    least, most = np.percentile(pixels, [1, 3])
    assert least <= low.min() < low.max() <= most
    least, most = np.percentile(pixels, [99.5, 99.9])
    assert least <= high.min() < high.max() <= most
    between = Percentiles((1, 3), (99.5, 99.9)).levels(pair)[0].low
    np.testing.assert_allclose(between, np.percentile(pixels, [1, 1.5, 2, 2.5, 3]))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, ((1, 3), (99.5, 99.9))),
        ({"probabilistic": True, "percentile_low": 4.0}, ((4, 4), (99.8, 99.8))),
        ({"probabilistic": True, "train_percentile_low": [0.0, 1.0]}, ((0, 1), (99.8, 99.8))),
    ],
)
def test_a_probabilistic_model_is_shown_the_percentiles_of_validation(
    given: dict[str, Any], expected: Any
) -> None:
    assert percentile_ranges({**SMALL, **given}) == expected


def test_each_channel_has_its_own_percentiles(tmp_path: Path) -> None:
    channels = np.stack(
        [np.arange(400).reshape(20, 20), 1000 + 10 * np.arange(400).reshape(20, 20)]
    )
    source = channels.astype(np.uint16)
    of_two = item(tmp_path, source, source[0], "CYX")
    batches, _ = validation_batches(SMALL, (20, 20), [of_two], 0)
    batch = batches(0)
    assert batch.images.shape == (3, 20, 20, 2) and batch.answers.shape == (3, 20, 20, 1)
    np.testing.assert_allclose(batch.images[..., 0], batch.images[..., 1], atol=1e-5)


def test_batches_depend_on_seed_and_step_alone(pair: Item) -> None:
    def images(step: int, seed: int) -> np.ndarray:
        return training_batches(SMALL, (16, 16), [pair], seed)(step).images

    np.testing.assert_array_equal(images(3, 0), images(3, 0))
    assert (images(3, 0) != images(4, 0)).any() and (images(3, 0) != images(3, 1)).any()


def test_image_and_target_are_varied_together(pair: Item) -> None:
    parameters = {
        **SMALL,
        "augment_zoom": 0.2,
        "augment_rotation": 20.0,
        "train_percentile_low": [2.0, 2.0],
        "train_percentile_high": [99.8, 99.8],
    }
    batch = training_batches(parameters, (32, 32), [pair], 0)(0)
    np.testing.assert_allclose(batch.images, batch.answers, atol=1e-4)
    assert augmentation({**parameters, "augmentation": False}) is None


def test_bright_patches_are_told_by_the_brightest_pixels_of_their_target(tmp_path: Path) -> None:
    target = np.zeros((64, 64), np.uint16)
    target[20:30, 20:30] = 1000
    one = item(tmp_path, target, target)
    accept = Bright(Percentiles((2, 2), (99.8, 99.8)), 0.4)
    assert accept(target[:40, :40], target[:40, :40], one)
    assert not accept(target[30:62, 30:62], target[30:62, 30:62], one)
    assert not accept(target[:24, :24], target[:24, :24], one)  # only at its edge


@pytest.mark.parametrize(("depth", "kernel"), [(1, 3), (2, 3), (2, 5), (3, 5), (1, 1)])
def test_context_covers_what_the_library_measures(depth: int, kernel: int) -> None:
    config = Config("YX", unet_n_depth=depth, unet_kern_size=kernel)
    measured = receptive_field_unet(depth, kernel, n_dim=2, img_size=256)
    most = max(max(each) for each in measured)
    assert most <= context(config) <= most + 2 ** (depth + 1)


def test_a_residual_needs_as_many_channels() -> None:
    parameters = DEFAULTS["care3d"]
    same = architecture.configuration(parameters, 3, Channels(2, 2), 1, 0.1)
    fewer = architecture.configuration(parameters, 3, Channels(2, 1), 1, 0.1)
    assert same.unet_residual and not fewer.unet_residual
    assert fewer.is_valid()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"n_dim": 3}, "for 3D images"),
        ({"unet_n_first": 100_000}, "unet_n_first is 100000"),
        ({"unet_n_depth": "2"}, "unet_n_depth is '2'"),
        ({"unet_last_activation": "os.system"}, "unet_last_activation"),
        ({"n2v_perc_pix": 1.5}, "no configuration of such a model"),
    ],
)
def test_what_is_no_configuration_is_refused_in_words(changes: Any, said: str) -> None:
    stored = dict(vars(Config("YX")))
    assert architecture.check_configuration(stored, 2).n_dim == 2
    with pytest.raises(ModelError, match=said) as caught:
        architecture.check_configuration({**stored, **changes}, 2)
    assert caught.value.hint
