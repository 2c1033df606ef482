# SPDX-License-Identifier: BSD-3-Clause
"""Views, colours, overlays and panels."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from dl4mic_sdk.images import Image
from dl4mic_sdk.qc.instance import score_instances
from dl4mic_sdk.qc.instance_panel import (
    FALSE_NEGATIVE,
    FALSE_POSITIVE,
    TRUE_POSITIVE,
    instance_panel,
    overlay,
)
from dl4mic_sdk.qc.label_colours import colour_labels
from dl4mic_sdk.qc.panels import Panel, Tile, save_png
from dl4mic_sdk.qc.view import LONGEST_SIDE, grey_levels, view_of


def labels(*shape: int) -> np.ndarray:
    image = np.zeros(shape, np.uint16)
    image[..., 2:8, 2:8] = 3
    return image


def test_a_small_plane_is_enlarged_and_a_large_one_sampled() -> None:
    for side in (20, 3000):
        shown = view_of(Image(labels(side, side // 2), "YX"))
        assert (shown.height, shown.width) == (LONGEST_SIDE, LONGEST_SIDE // 2)


def test_a_single_pixel_can_be_shown() -> None:
    image = Image(np.ones((1, 1), np.uint8), "YX")
    assert view_of(image).show(image).shape == (LONGEST_SIDE, LONGEST_SIDE, 1)


def test_sections_of_a_stack_go_through_its_objects() -> None:
    stack = np.zeros((9, 30, 40), np.uint8)
    stack[6, 10:20, 5:9] = 1
    stack[:, 21, 30] = 2
    view = view_of(Image(stack, "ZYX"))
    assert (view.z, view.y) == (6, 21)
    assert "z = 6" in view.note


def test_pixel_size_stretches_z() -> None:
    stack = Image(labels(10, 20, 20), "ZYX", {"X": 0.1, "Y": 0.1, "Z": 0.4})
    view = view_of(stack)
    assert view.depth == pytest.approx(2 * view.height, abs=2)
    wrong = Image(labels(10, 20, 20), "ZYX", {"X": 0.001, "Y": 0.001, "Z": 5.0})
    assert view_of(wrong).depth == pytest.approx(5 * view_of(wrong).height, abs=5)


def test_source_with_channels_on_the_grid_of_its_target() -> None:
    source = Image(np.random.RandomState(0).rand(2, 5, 16, 16), "CZYX")
    target = Image(labels(5, 16, 16), "ZYX")
    view = view_of(target)
    assert view.show(source).shape[:2] == view.show(target).shape[:2]


def test_grey_levels_fill_the_range_and_survive_a_constant() -> None:
    ramp = np.arange(10_000.0).reshape(100, 100, 1)
    shown = grey_levels(ramp)
    assert (shown.dtype, shown.shape) == (np.uint8, (100, 100, 3))
    assert (shown.min(), shown.max()) == (0, 255)
    assert grey_levels(np.full((4, 4, 1), 7)).max() == 0


def test_every_object_has_a_colour_of_its_own() -> None:
    view = np.arange(64).reshape(8, 8)
    shown = colour_labels(view).reshape(64, 3)
    assert shown[0].tolist() == [0, 0, 0]
    assert len({tuple(each) for each in shown.tolist()}) == 64
    assert shown[1:].max(axis=1).min() > 150


def test_overlay_colours_by_hand() -> None:
    true, pred = np.zeros((2, 40, 60), int)
    true[5:15, 5:15], pred[5:15, 5:15] = 1, 9  # right
    true[5:15, 30:40] = 2  # missed
    pred[25:35, 5:15] = 4  # invented
    grey = np.full((40, 60, 3), 100, np.uint8)
    picture = overlay(grey, true, pred, score_instances(true, pred))
    assert tuple(picture[5, 10]) == TRUE_POSITIVE
    assert tuple(picture[5, 35]) == FALSE_NEGATIVE
    assert tuple(picture[25, 10]) == FALSE_POSITIVE
    for inside in (picture[10, 10], picture[38, 58]):
        assert inside.tolist() == [80, 80, 80]


def test_touching_objects_are_told_apart() -> None:
    true = np.repeat([[1, 2]], 20, axis=0).repeat(15, axis=1)
    grey = np.zeros((20, 30, 3), np.uint8)
    picture = overlay(grey, true, true, score_instances(true, true))
    assert tuple(picture[10, 14]) == tuple(picture[10, 15]) == TRUE_POSITIVE
    assert picture[10, 0].tolist() == [0, 0, 0], "the border of the image is no edge"


@pytest.mark.parametrize(("axes", "shape"), [("YX", (30, 40)), ("ZYX", (6, 30, 40))])
def test_instance_panel(axes: str, shape: tuple, tmp_path: Path) -> None:
    target = Image(labels(*shape), axes)
    panel = instance_panel(target, target, Image(np.zeros(shape, np.uint16), axes))
    titles = [tile.title for tile in panel.tiles]
    assert titles == ["image", "prediction (0 objects)", "target (1 object)", "overlay"]
    assert panel.legend[2] == (FALSE_NEGATIVE, "in the target only: 1")
    save_png(panel, tmp_path / "panel.png")
    assert (tmp_path / "panel.png").read_bytes().startswith(b"\x89PNG")


def test_height_of_a_panel_holds_all_rows() -> None:
    tile = Tile("a", np.zeros((50, 100, 3), np.uint8))
    two_rows, one_row = Panel((tile,) * 4).height(4.0, 2), Panel((tile,) * 4).height(4.0, 4)
    assert two_rows > 2.0 > one_row


@pytest.mark.parametrize("shape", [(3000, 2), (2, 3000), (1, 1)])
def test_a_narrow_image_makes_no_endless_picture(shape: tuple, tmp_path: Path) -> None:
    target = Image(np.ones(shape, np.uint16), "YX")
    save_png(instance_panel(target, target, target), tmp_path / "panel.png")
    width, height = struct.unpack(">II", (tmp_path / "panel.png").read_bytes()[16:24])
    assert 50 < max(width, height) < 10_000
