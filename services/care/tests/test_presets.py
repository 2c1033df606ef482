# SPDX-License-Identifier: BSD-3-Clause
"""The presets: consistent in themselves, and those of paper and notebook as they were."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from batches import percentile_ranges
from presets import check_presets

from dl4mic.manifest import read_service

SERVICE = read_service(Path(__file__).resolve().parents[1])


def in_force(network: str, preset: str) -> dict[str, Any]:
    record = SERVICE.records[network]
    defaults = {name: each.get("default") for name, each in record["parameters"].items()}
    return {**defaults, **record["presets"][preset]["parameters"]}


@pytest.mark.parametrize("network", SERVICE.networks)
def test_presets_do_not_contradict_themselves(network: str) -> None:
    check_presets(SERVICE, network)


@pytest.mark.parametrize(
    ("network", "preset", "schedule", "model"),
    [
        ("care2d", "paper", (50, 31, 64, [80, 80]), (True, 3, 5)),
        ("care3d", "paper", (50, 62, 64, [8, 80, 80]), (False, 2, 3)),
        ("care2d", "notebook", (100, None, 16, [64, 64]), (True, 3, 5)),
        ("care3d", "notebook", (40, None, 16, [8, 80, 80]), (False, 2, 3)),
    ],
)
def test_presets_are_those_of_paper_and_notebook(
    network: str, preset: str, schedule: tuple[Any, ...], model: tuple[Any, ...]
) -> None:
    force = in_force(network, preset)
    names = ("epochs", "steps_per_epoch", "batch_size", "patch_size")
    assert tuple(force[name] for name in names) == schedule
    names = ("probabilistic", "unet_n_depth", "unet_kern_size")
    assert tuple(force[name] for name in names) == model
    assert (force["learning_rate"], force["validation_fraction"]) == (0.0004, 0.1)
    assert (force["loss"], force["unet_n_first"], force["unet_residual"]) == ("mae", 32, True)
    assert (force["augmentation"], force["foreground_fraction"]) == (False, 0.0)


@pytest.mark.parametrize("network", SERVICE.networks)
@pytest.mark.parametrize("preset", ["paper", "notebook"])
def test_paper_and_notebook_draw_the_percentiles_as_csbdeep_does(network: str, preset: str) -> None:
    assert percentile_ranges(in_force(network, preset)) == ((1, 3), (99.5, 99.9))


@pytest.mark.parametrize(("network", "patches"), [("care2d", 50), ("care3d", 200)])
def test_the_notebook_shows_so_many_patches_of_each_image(network: str, patches: int) -> None:
    assert in_force(network, "notebook")["patches_per_image"] == patches


@pytest.mark.parametrize(("network", "patches"), [("care2d", 100), ("care3d", 200)])
def test_steps_of_the_paper_show_the_patches_of_its_training_images(
    network: str, patches: int
) -> None:
    """Of 22 pairs a tenth was kept for validation: Supplementary Table 3 counts 1980 and 3960 patches."""
    force = in_force(network, "paper")
    shown = round(22 * patches * (1 - force["validation_fraction"]))
    assert force["steps_per_epoch"] == math.ceil(shown / force["batch_size"])
