# SPDX-License-Identifier: BSD-3-Clause
"""Pictures of restorations: which region is worst, colours of errors, planes and stacks with and without a source."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dl4mic_sdk.images import Image
from dl4mic_sdk.qc.panels import save_png
from dl4mic_sdk.qc.restoration_panel import (
    OVER,
    UNDER,
    grey,
    residual_panel,
    restoration_panel,
    signed,
    worst_place,
)


def scene(axes: str) -> Image:
    lengths = {"T": 3, "Z": 7, "C": 2, "Y": 40, "X": 60}
    pixels = np.random.RandomState(0).rand(*(lengths[axis] for axis in axes)) * 1000
    return Image(pixels.astype(np.float32), axes, {"X": 0.1, "Y": 0.1, "Z": 0.3}, "a")


def test_the_worst_region_is_where_errors_are_many_not_where_one_is_large() -> None:
    error = np.zeros((4, 80, 80))
    error[1, 5, 5] = 3.0
    error[2, 40:60, 30:50] = -1.0
    z, y, x = worst_place(error)
    assert z == 2 and 45 <= y < 55 and 35 <= x < 45


def test_errors_have_a_colour_for_each_sign() -> None:
    drawn = signed(np.array([[-2.0, -1.0, 0.0, 1.0, 2.0]]))
    assert drawn[0].tolist() == [list(UNDER), list(UNDER), [0, 0, 0], list(OVER), list(OVER)]
    assert grey(np.array([[-1.0, 0.0, 0.5, 9.0]]))[0, :, 0].tolist() == [0, 0, 127, 255]


@pytest.mark.parametrize("axes", ["YX", "CYX", "ZYX", "ZCYX", "TYX", "TZCYX"])
@pytest.mark.parametrize("source", [False, True])
def test_every_kind_of_image_can_be_drawn(axes: str, source: bool, tmp_path: Path) -> None:
    target = scene(axes)
    images = {"prediction": target.with_pixels(target.pixels * 2 + 5)}
    if source:
        images["source"] = target.with_pixels(target.pixels + 50)
    panel = restoration_panel(target, images)
    titles = [tile.title for tile in panel.tiles]
    assert titles[: 1 + source] == (["source"] if source else []) + ["prediction"]
    assert len({tile.pixels.shape for tile in panel.tiles}) == 1
    assert ("z = " in panel.note) == ("Z" in axes)
    if axes == "ZYX":
        save_png(panel, tmp_path / "a.png")
        assert (tmp_path / "a.png").stat().st_size > 1000


@pytest.mark.parametrize("pixels", [np.full((20, 30), 7.0), np.ones((1, 1))])
def test_a_constant_and_a_single_pixel_can_be_drawn(pixels: np.ndarray) -> None:
    image = Image(pixels, "YX")
    assert restoration_panel(image, {"prediction": image, "source": image}).tiles
    assert residual_panel(image, image, image.with_pixels(pixels * 0)).tiles


@pytest.mark.parametrize("axes", ["YX", "ZYX", "CYX"])
def test_without_a_target_what_was_taken_away_is_drawn(axes: str) -> None:
    source = scene(axes)
    panel = residual_panel(source, source, source.with_pixels(source.pixels - 500))
    assert [tile.title for tile in panel.tiles] == ["source", "prediction", "source - prediction"]
    assert len({tile.pixels.shape for tile in panel.tiles}) == 1
