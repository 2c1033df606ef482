# SPDX-License-Identifier: BSD-3-Clause
"""Normalisation, targets, measurements and regions of interest, each against the library or scikit-image."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import architecture
import numpy as np
import pytest
from batches import training_batches
from csbdeep.utils import normalize
from framework import Config2D, Config3D
from jobs import make
from objects import Objects, convex_hulls, measure
from rois import roi_zip
from scipy.spatial import ConvexHull
from skimage.measure import regionprops_table
from stardist import data as library_images
from stardist.geometry import dist_to_coord, star_dist
from stardist.models.model2d import StarDistData2D
from stardist.models.model3d import StarDistData3D
from stardist.rays3d import rays_from_json
from stardist.utils import polyroi_bytearray
from targets import Targets

from dl4mic_sdk.errors import SdkError
from dl4mic_sdk.normalisation import Normalisation
from dl4mic_sdk.pairs import Item


@pytest.fixture(scope="module")
def nuclei() -> tuple[np.ndarray, np.ndarray]:
    image, labels = library_images.test_image_nuclei_2d(return_mask=True)
    return image, labels.astype(np.int32)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.int32, np.float32])
def test_normalisation_is_csbdeeps(nuclei: Any, kind: Any) -> None:
    image = nuclei[0].astype(kind)
    ours = Normalisation(1, 99.8).apply(image)
    assert ours.dtype == np.float32
    np.testing.assert_array_equal(ours, normalize(image, 1, 99.8))


@pytest.mark.parametrize("completion", [False, True])
def test_targets_2d_are_the_librarys(nuclei: Any, completion: bool) -> None:
    image, labels = nuclei[0][:96, :96].astype(np.float32), nuclei[1][:96, :96]
    config = Config2D(grid=(2, 2), train_shape_completion=completion, train_completion_crop=16)
    batch = Targets(config).batch([image], [labels])
    data = StarDistData2D(
        [image],
        [labels],
        batch_size=1,
        n_rays=32,
        length=1,
        grid=(2, 2),
        patch_size=(96, 96),
        shape_completion=completion,
        b=16,
    )
    (images,), answers = data[0]
    np.testing.assert_array_equal(batch.images, images)
    np.testing.assert_array_equal(batch.probability, answers[0])
    np.testing.assert_array_equal(batch.distances, answers[1])
    assert batch.labels[0].shape == batch.images.shape[1:3]


def test_targets_3d_are_the_librarys() -> None:
    image, labels = library_images.test_image_nuclei_3d(return_mask=True)
    image, labels = image[:24, :32, :32].astype(np.float32), labels[:24, :32, :32]
    config = Config3D(rays=16, grid=(1, 2, 2), anisotropy=(2, 1, 1))
    batch = Targets(config).batch([image], [labels])
    data = StarDistData3D(
        [image],
        [labels],
        batch_size=1,
        rays=rays_from_json(config.rays_json),
        length=1,
        grid=(1, 2, 2),
        anisotropy=(2, 1, 1),
        patch_size=(24, 32, 32),
    )
    (_,), answers = data[0]
    np.testing.assert_array_equal(batch.probability, answers[0])
    np.testing.assert_array_equal(batch.distances, answers[1])


def test_patches_of_a_batch_stay_in_order(nuclei: Any) -> None:
    labels = nuclei[1]
    images = [np.full((32, 32), number, np.float32) for number in range(5)]
    batch = Targets(Config2D(grid=(1, 1))).batch(images, [labels[:32, :32]] * 5)
    assert batch.images[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4]


def test_batches_repeat_by_step_and_holes_are_filled(tmp_path: Any) -> None:
    parameters = dict(
        make(tmp_path, "train", "stardist2d", tmp_path).request["parameters"],
        augmentation=False,
    )
    labels = np.zeros((64, 64), np.uint16)
    labels[8:40, 8:40] = 7
    labels[20:24, 20:24] = 0
    for name, pixels in (("image", labels * 10), ("labels", labels)):
        np.save(tmp_path / f"{name}.npy", pixels)
    item = Item("image", tmp_path / "image.npy", tmp_path / "labels.npy", "YX", (64, 64))
    config = Config2D(grid=(2, 2), train_patch_size=(64, 64), train_batch_size=2)
    first = training_batches(parameters, config, [item], seed=3)
    again = training_batches(parameters, config, [item], seed=3)
    np.testing.assert_array_equal(first(5).images, again(5).images)
    assert first(0).labels[0][22, 22] == 7
    unfilled = training_batches(dict(parameters, fill_holes=False), config, [item], seed=3)
    assert unfilled(0).labels[0][22, 22] == 0


@pytest.fixture(scope="module")
def found(nuclei: Any) -> Objects:
    """The labelled nuclei with their outlines, as the network would have found them."""
    labels = np.unique(nuclei[1], return_inverse=True)[1].reshape(nuclei[1].shape).astype(np.int32)
    centres = regionprops_table(labels, properties=("centroid",))
    points = np.stack([centres["centroid-0"], centres["centroid-1"]], axis=1).astype(int)
    distances = star_dist(labels, 32)[tuple(points.T)]
    probability = np.linspace(0.5, 0.9, len(points)).astype(np.float32)
    return Objects(labels, probability, dist_to_coord(distances, points))


def test_measurements_agree_with_regionprops(nuclei: Any, found: Objects) -> None:
    table = measure(found, nuclei[0], {"Y": 0.5, "X": 0.25})
    values = {name: np.array(column) for name, column in zip(table.columns, zip(*table.rows))}
    names = ("label", "area", "centroid", "intensity_mean", "intensity_min", "intensity_max")
    theirs = regionprops_table(found.labels, nuclei[0], properties=names)
    for ours, name in {
        "label": "label",
        "area_px": "area",
        "centroid_y_px": "centroid-0",
        "centroid_x_px": "centroid-1",
        "mean_intensity": "intensity_mean",
        "min_intensity": "intensity_min",
        "max_intensity": "intensity_max",
    }.items():
        np.testing.assert_allclose(values[ours], theirs[name], atol=1e-4)
    np.testing.assert_allclose(values["centroid_x_um"], theirs["centroid-1"] * 0.25, atol=1e-4)
    np.testing.assert_allclose(values["area_um2"], theirs["area"] * 0.125, atol=1e-4)
    np.testing.assert_allclose(
        values["integrated_intensity"], values["mean_intensity"] * values["area_px"], rtol=1e-4
    )


def test_shape_of_a_square_and_of_a_rod() -> None:
    labels = np.zeros((40, 40), np.int32)
    labels[4:14, 4:14] = 1
    labels[20:24, 2:38] = 2
    table = measure(Objects(labels, np.ones(2, np.float32)), labels, {})
    square, rod = (dict(zip(table.columns, row)) for row in table.rows)
    assert square["eccentricity"] == pytest.approx(0, abs=1e-3)
    assert square["major_axis_px"] == pytest.approx(4 * np.sqrt(100 / 12), abs=1e-3)
    assert rod["eccentricity"] == pytest.approx(np.sqrt(1 - (4 / 36) ** 2), abs=1e-3)
    assert "area_um2" not in table.columns


def test_axes_of_a_ball_and_of_a_plate() -> None:
    z, y, x = np.indices((30, 30, 60)) - 15
    labels = np.where(x**2 + y**2 + z**2 <= 100, 1, 0).astype(np.int32)
    labels[10:14, 5:25, 32:52] = 2
    table = measure(Objects(labels, np.ones(2, np.float32)), labels, {"Z": 2, "Y": 1, "X": 1})
    ball, plate = (dict(zip(table.columns, row)) for row in table.rows)
    assert ball["major_axis_px"] == pytest.approx(20, rel=0.02)
    assert ball["elongation"] == pytest.approx(1, abs=0.01)
    assert plate["flatness"] == pytest.approx(5, rel=0.01)
    assert plate["volume_um3"] == 2 * plate["volume_px"] == 3200


def test_hidden_objects_are_left_out_and_an_empty_image_has_a_header() -> None:
    labels = np.zeros((8, 8), np.int32)
    assert measure(Objects(labels, np.zeros(0, np.float32)), labels, {}).rows == []
    labels[2:4, 2:4] = 2
    table = measure(Objects(labels, np.array([0.9, 0.8], np.float32)), labels, {})
    assert [row[0] for row in table.rows] == [2]
    assert dict(zip(table.columns, table.rows[0]))["probability"] == pytest.approx(0.8)


def test_convex_hulls_are_scipys() -> None:
    angles = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    radii = np.random.default_rng(0).uniform(2, 20, (200, 32))
    corners = np.stack([radii * np.sin(angles), radii * np.cos(angles)], axis=2)
    for ours, theirs in zip(convex_hulls(corners), map(ConvexHull, corners)):
        assert {tuple(each) for each in ours} == {
            tuple(each) for each in theirs.points[theirs.vertices]
        }


def test_rois_are_the_librarys(found: Objects) -> None:
    assert found.outlines is not None
    with zipfile.ZipFile(io.BytesIO(roi_zip(found.outlines, found.present))) as archive:
        names = archive.namelist()
        assert names[:2] == ["00001.roi", "00002.roi"]
        for name, outline in zip(names, found.outlines):
            assert archive.read(name) == bytes(polyroi_bytearray(outline[1], outline[0]))


PATCHES = {
    "patch_size": None,
    "largest_patch": [256, 256],
    "shape_completion": False,
    "completion_crop": 32,
}


@pytest.mark.parametrize(
    ("changes", "smallest", "expected"),
    [
        ({}, (512, 237), (224, 224)),
        ({}, (1024, 1024), (256, 256)),
        ({"patch_size": [64, 128]}, (300, 300), (64, 128)),
        ({"shape_completion": True}, (512, 237), (224, 224)),
        ({"shape_completion": True, "completion_crop": 20}, (512, 237), (232, 232)),
    ],
)
def test_patch_is_as_large_as_the_images_allow(changes: Any, smallest: Any, expected: Any) -> None:
    assert architecture.patch_shape({**PATCHES, **changes}, (16, 16), smallest) == expected


@pytest.mark.parametrize(
    ("changes", "smallest", "said"),
    [
        ({"patch_size": [100, 96]}, (512, 512), "multiple of 16 x 16"),
        ({"patch_size": [256, 256]}, (512, 128), "larger than the smallest"),
        ({}, (512, 12), "smaller than the smallest patch of 16 x 16"),
    ],
)
def test_an_impossible_patch_is_refused_in_words(changes: Any, smallest: Any, said: str) -> None:
    with pytest.raises(SdkError, match=said) as caught:
        architecture.patch_shape({**PATCHES, **changes}, (16, 16), smallest)
    assert caught.value.hint


def test_grid_follows_the_shape_of_3d_objects() -> None:
    parameters = {"grid": None, "anisotropy": None, "unet_n_depth": 2, "unet_pool": [2, 2, 2]}
    chosen = architecture.geometry(parameters, [8.0, 15.0, 16.0])
    assert chosen.anisotropy == (2.0, 1.067, 1.0)
    assert chosen.grid == (1, 2, 2)
    assert chosen.divisor == (4, 8, 8)
    with pytest.raises(SdkError, match="powers of two"):
        architecture.geometry(dict(parameters, grid=[1, 3, 2]), [8.0, 15.0, 16.0])
