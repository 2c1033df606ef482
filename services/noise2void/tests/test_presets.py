# SPDX-License-Identifier: BSD-3-Clause
"""The presets: consistent in themselves, and those of paper and notebook as they were."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from presets import check_presets

from dl4mic.manifest import read_service

SERVICE = read_service(Path(__file__).resolve().parents[1])


@pytest.mark.parametrize("network", SERVICE.networks)
def test_presets_do_not_contradict_themselves(network: str) -> None:
    check_presets(SERVICE, network)


@pytest.mark.parametrize(
    ("network", "preset", "expected"),
    [
        ("n2v2d", "paper", (100, 61, 128, [64, 64], True)),
        ("n2v3d", "paper", (100, 133, 128, [8, 64, 64], True)),
        ("n2v2d", "notebook", (100, None, 128, [64, 64], True)),
        ("n2v3d", "notebook", (10, 100, 128, [4, 64, 64], False)),
    ],
)
def test_presets_are_those_of_paper_and_notebook(
    network: str, preset: str, expected: tuple[Any, ...]
) -> None:
    record = SERVICE.records[network]
    force = {name: each.get("default") for name, each in record["parameters"].items()}
    force.update(record["presets"][preset]["parameters"])
    names = ("epochs", "steps_per_epoch", "batch_size", "patch_size", "augmentation")
    assert tuple(force[name] for name in names) == expected
    common = (force["learning_rate"], force["n2v_perc_pix"], force["unet_kern_size"], force["loss"])
    assert common == (0.0004, 0.198, 3, "mse")
    assert (force["n2v_manipulator"], force["n2v_neighborhood_radius"]) == ("uniform_withCP", 5)
