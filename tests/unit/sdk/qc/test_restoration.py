# SPDX-License-Identifier: BSD-3-Clause
"""Every number of restoration against cases worked out by hand, against scikit-image, and on odd images."""

from __future__ import annotations

import math
from typing import Any, Dict, List, Optional, Tuple

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from dl4mic_sdk.errors import DataError
from dl4mic_sdk.images import Image
from dl4mic_sdk.qc.agreement import Measurement, Profile, Region, join
from dl4mic_sdk.qc.restoration import compare_images
from dl4mic_sdk.qc.restoration_definitions import definitions, numbers, quantities

COMPARED = ("prediction", "source")


def image(pixels: Any, axes: str = "") -> Image:
    array = np.asarray(pixels)
    return Image(array, axes or "ZYX"[-array.ndim :])


def scored(target: Any, prediction: Any, axes: str = "") -> Dict[str, Optional[float]]:
    """Return the numbers of a prediction by the middle of their ids."""
    found, _ = compare_images(image(target, axes), {"prediction": image(prediction, axes)})
    return short(found)


def short(measurement: Measurement) -> Dict[str, Optional[float]]:
    found = numbers(measurement, ("prediction",))
    return {key[len("restoration.") : -2]: value for key, value in found.items()}


def scene(*shape: int) -> np.ndarray:
    rough = gaussian_filter(np.random.RandomState(3).rand(*shape), 2)
    return ((rough - rough.min()) / (rough.max() - rough.min()) * 60000).astype(np.uint16)


def fitted(target: np.ndarray, image: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """Bring both onto one scale as the definition of profile standard says, with NumPy's own functions."""
    low, high = np.percentile(target.astype(float), [0.1, 99.9])
    unit = (target - low) / (high - low)
    slope, offset = np.polyfit(image.astype(float).ravel(), unit.ravel(), 1)
    return np.clip(unit, 0, 1), np.clip(slope * image + offset, 0, 1)


def as_in_notebooks(target: np.ndarray, image: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    low, high = np.percentile(target.astype(float), [0.1, 99.9])
    unit = (target - low) / (high - low)
    unit, other = unit - unit.mean(), image - image.mean()
    return unit, np.cov(other.ravel(), unit.ravel())[0, 1] / np.var(other.ravel()) * other


def test_standard_by_hand() -> None:
    # Half of 20 x 20 pixels is 0, half 1, which the percentiles leave as they are. The prediction has 20 of each
    # half the wrong way round: by least squares it becomes (1 - 2 w) I + w with w = 20 / 200, so 0.1 and 0.9.
    target = np.repeat([0.0, 1.0], 200).reshape(20, 20)
    prediction = target.copy()
    prediction.flat[:20], prediction.flat[-20:] = 1.0, 0.0
    found = scored(target, prediction)
    squared = 0.9 * 0.1**2 + 0.1 * 0.9**2
    assert found["standard.nrmse"] == pytest.approx(math.sqrt(squared))
    assert found["standard.psnr"] == pytest.approx(10 * math.log10(1 / squared))
    assert found["pearson"] == pytest.approx(1 - 2 * 0.1)
    # All errors are alike in both halves: the foreground's are those of the whole.
    assert found["standard.nrmse.foreground"] == pytest.approx(math.sqrt(squared))
    assert found["standard.psnr.foreground"] == pytest.approx(10 * math.log10(1 / squared))
    assert found["pearson.foreground"] is None  # the foreground of the target is constant
    assert found["foreground"] == 0.5


def test_zerocost_by_hand() -> None:
    # Mean-centred: -0.5 and 0.5. The gain is 0.8 (covariance 0.2 over variance 0.25) times n / (n - 1).
    target = np.repeat([0.0, 1.0], 200).reshape(20, 20)
    prediction = target.copy()
    prediction.flat[:20], prediction.flat[-20:] = 1.0, 0.0
    found = scored(target, prediction)
    half = 0.5 * 0.8 * 400 / 399
    absolute = 0.9 * (0.5 - half) + 0.1 * (0.5 + half)
    squared = 0.9 * (0.5 - half) ** 2 + 0.1 * (0.5 + half) ** 2
    assert found["zerocost.nrmse"] == pytest.approx(math.sqrt(absolute))
    assert found["zerocost.psnr"] == pytest.approx(10 * math.log10(1 / squared))


def test_foreground_is_scored_apart_by_hand() -> None:
    # A quarter is foreground. The prediction is wrong in the background alone, and 0.5 in 100 of its 300 pixels.
    target = np.repeat([0.0, 1.0], (300, 100)).reshape(20, 20)
    prediction = target.copy()
    prediction.flat[:100] = 0.5
    found = scored(target, prediction)
    slope, offset = np.polyfit(
        [0.5] * 100 + [0.0] * 200 + [1.0] * 100, [0.0] * 300 + [1.0] * 100, 1
    )
    wrong = np.clip([slope * 0.5 + offset, offset, slope + offset], 0, 1) - [0, 0, 1]
    assert found["standard.nrmse.foreground"] == pytest.approx(abs(wrong[2]))
    whole = (100 * wrong[0] ** 2 + 200 * wrong[1] ** 2 + 100 * wrong[2] ** 2) / 400
    assert found["standard.nrmse"] == pytest.approx(math.sqrt(whole))
    assert found["foreground"] == 0.25


def test_similarity_by_hand() -> None:
    # One window alone lies inside 11 x 11 pixels. The target is a step; the prediction its mirror image.
    target = np.zeros((11, 11))
    target[:, 6:] = 1.0
    found, _ = compare_images(image(target), {"prediction": image(1 - target)}, [Profile.STANDARD])
    weights = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    share = float(weights[6:].sum() / weights.sum())
    # The fit turns the mirror image round: the two are alike, 0 and 1 in the same places.
    assert short(found)["standard.ssim"] == pytest.approx(1.0)
    # A constant becomes the target's mean: its local variance and covariance are 0.
    found, _ = compare_images(image(target), {"prediction": image(target * 0)}, [Profile.STANDARD])
    mean, c1, c2 = 5 / 11, 0.01**2, 0.03**2
    expected = (2 * share * mean + c1) / (share**2 + mean**2 + c1) * c2 / (share - share**2 + c2)
    assert short(found)["standard.ssim"] == pytest.approx(expected)


@pytest.mark.parametrize("profile", list(Profile))
def test_similarity_is_that_of_scikit_image(profile: Profile) -> None:
    from skimage.metrics import structural_similarity

    target = scene(60, 50)
    prediction = target + np.random.RandomState(4).normal(0, 3000, target.shape)
    pair = (fitted if profile is Profile.STANDARD else as_in_notebooks)(target, prediction)
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    mean, whole = structural_similarity(*pair, data_range=1.0, full=True, **options)
    maps: List[np.ndarray] = []

    def keep(of: str, title: str, channel: int, plane: int, values: np.ndarray) -> None:
        maps.append(values.copy())

    found, _ = compare_images(image(target), {"prediction": image(prediction)}, keep=keep)
    assert short(found)[profile.value + ".ssim"] == pytest.approx(mean, rel=1e-9)
    if profile is Profile.STANDARD:
        np.testing.assert_allclose(maps[0], whole, atol=1e-9)
        np.testing.assert_allclose(maps[1], pair[1] - pair[0], atol=1e-9)
        np.testing.assert_allclose(maps[2], np.abs(pair[1] - pair[0]), atol=1e-9)


@pytest.mark.parametrize("copy", [lambda t: t, lambda t: t * 0.01 + 7.0, lambda t: t * 300.0 - 5e6])
def test_a_perfect_prediction_and_an_affine_copy_score_perfectly(copy: Any) -> None:
    target = scene(40, 40)
    found = scored(target, copy(target.astype(np.float64)))
    for name in ("standard.ssim", "standard.ssim.foreground", "pearson", "pearson.foreground"):
        assert found[name] == pytest.approx(1.0, abs=1e-9), name
    assert found["standard.nrmse"] == pytest.approx(0.0, abs=1e-9)
    assert found["standard.psnr"] == found["standard.psnr.foreground"] == 100.0
    # The notebooks' gain is too large by n / (n - 1).
    assert found["zerocost.ssim"] == pytest.approx(1.0, abs=1e-4)


def test_a_misaligned_prediction_is_scored_where_it_lies() -> None:
    """Stripes of 10 px, moved by 2: a fifth of the pixels is wrong, so r = 1 - 2 / 5; the fit leaves 0.2 and 0.8."""
    target = np.tile(np.repeat([0.0, 1.0], 10), (40, 2))
    found = scored(target, np.roll(target, 2, 1))
    squared = 0.8 * 0.2**2 + 0.2 * 0.8**2
    assert found["pearson"] == pytest.approx(0.6)
    assert found["standard.nrmse"] == pytest.approx(math.sqrt(squared))
    assert found["standard.psnr"] == pytest.approx(10 * math.log10(1 / squared))
    moved = [scored(scene(60, 60), np.roll(scene(60, 60), n, 0)) for n in range(4)]
    for name in ("standard.ssim", "zerocost.ssim", "standard.psnr", "pearson"):
        values = [each[name] or 0.0 for each in moved]
        assert values == sorted(values, reverse=True) and len(set(values)) == 4, name


def test_a_gain_below_zero_is_undone_but_the_sign_is_known() -> None:
    target = scene(40, 40)
    found = scored(target, -1.0 * target)
    assert found["pearson"] == pytest.approx(-1.0)
    assert found["standard.ssim"] == pytest.approx(1.0)


def test_a_constant_target_has_nothing_to_score() -> None:
    found = scored(np.full((20, 20), 7), scene(20, 20))
    assert set(found.values()) == {None}


def test_a_constant_prediction_is_the_mean_of_the_target() -> None:
    target = scene(40, 40)
    found = scored(target, np.full(target.shape, 0.1))
    unit = fitted(target, target)[0]
    low, high = np.percentile(target.astype(float), [0.1, 99.9])
    mean = (target.mean() - low) / (high - low)
    assert found["standard.nrmse"] == pytest.approx(np.sqrt(np.mean((unit - mean) ** 2)))
    assert found["pearson"] is None
    assert found["zerocost.ssim"] is found["zerocost.nrmse"] is None


def test_small_planes_have_no_similarity() -> None:
    found = scored(scene(10, 30), scene(10, 30))
    assert found["standard.ssim"] is None
    assert found["standard.psnr"] == 100.0


def test_a_single_pixel_has_nothing_to_score() -> None:
    assert set(scored(np.array([[3]]), np.array([[4]])).values()) == {None}


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_refused(value: float) -> None:
    spoiled = scene(20, 20).astype(np.float32)
    spoiled[3, 3] = value
    with pytest.raises(DataError, match="the prediction has 1 pixels that are NaN or infinite"):
        scored(scene(20, 20), spoiled)
    with pytest.raises(DataError, match="the target has 1 pixels"):
        scored(spoiled, scene(20, 20))


def test_another_shape_is_refused() -> None:
    with pytest.raises(
        DataError, match=r"the prediction has shape \(20, 19\) \(YX\), the target \(20, 20\)"
    ):
        scored(scene(20, 20), scene(20, 19))


def test_a_stack_is_one_image_with_numbers_of_its_planes() -> None:
    target = scene(5, 30, 30)
    prediction = target + np.random.RandomState(5).normal(0, 4000, target.shape)
    whole, planes = compare_images(image(target), {"prediction": image(prediction)})
    assert len(planes) == 5
    unit, other = fitted(target, prediction)
    squared = np.mean((unit - other) ** 2, axis=(1, 2))
    assert [short(each)["standard.nrmse"] for each in planes] == pytest.approx(np.sqrt(squared))
    assert short(whole)["standard.nrmse"] == pytest.approx(np.sqrt(squared.mean()))
    similar = [short(each)["standard.ssim"] for each in planes]
    assert short(whole)["standard.ssim"] == pytest.approx(np.mean(similar))
    r = np.corrcoef(target.ravel(), prediction.ravel())[0, 1]
    assert short(whole)["pearson"] == pytest.approx(r)
    # The notebooks know one plane at a time.
    alone = scored(target[2], prediction[2])
    assert short(planes[2])["zerocost.ssim"] == pytest.approx(alone["zerocost.ssim"])


def test_each_channel_has_a_scale_of_its_own() -> None:
    one, other = scene(30, 30), scene(31, 30)[:30] * 0.001
    noise = np.random.RandomState(6).normal(0, 1, (30, 30))
    target = np.stack([one, other])
    found = scored(target, np.stack([one + 900 * noise, 5 * other + noise]), "CYX")
    apart = [scored(one, one + 900 * noise), scored(other, 5 * other + noise)]
    for name in ("standard.ssim", "zerocost.ssim", "pearson"):
        assert found[name] == pytest.approx((apart[0][name] + apart[1][name]) / 2), name  # type: ignore[operator]


def test_pooling_weighs_by_pixels() -> None:
    pairs = [(scene(20, 20), 9000.0), (scene(40, 40), 1000.0)]
    parts = [
        compare_images(
            image(t), {"prediction": image(t + np.random.RandomState(7).normal(0, s, t.shape))}
        )[0]
        for t, s in pairs
    ]
    errors = [short(each)["standard.nrmse"] or 0.0 for each in parts]
    pooled = short(join(parts))
    assert pooled["standard.nrmse"] == pytest.approx(
        math.sqrt((400 * errors[0] ** 2 + 1600 * errors[1] ** 2) / 2000)
    )
    assert join(parts[:1]) == parts[0]


def test_prediction_and_source_do_not_disturb_each_other() -> None:
    target = scene(40, 40)
    images = {
        "prediction": image(target * 2.0),
        "source": image(target + 5000.0 * np.random.RandomState(8).rand(40, 40)),
    }
    both = numbers(compare_images(image(target), images)[0], COMPARED)
    for name, each in images.items():
        alone = numbers(compare_images(image(target), {name: each})[0], (name,))
        for key, value in alone.items():
            assert both[key] == value, key


def test_every_number_has_a_definition_of_its_own() -> None:
    ids = [each.id for each in definitions(COMPARED)]
    assert len(set(ids)) == len(ids) == 2 * 14 + 1
    assert len({each.title for each in definitions(COMPARED)}) == len(ids)
    assert list(numbers(Measurement(), COMPARED)) == ids
    assert all(each.text.endswith(".") for each in definitions(COMPARED))
    assert {each.region for each in quantities(COMPARED)} == set(Region)
