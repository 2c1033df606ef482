# SPDX-License-Identifier: BSD-3-Clause
"""The README says what the manifest says, and every parameter has an effect."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import architecture
import parameter_table
import pytest

FOLDER = Path(__file__).resolve().parents[1]
README = (FOLDER / "README.md").read_text(encoding="utf-8")


def test_readme_has_the_tables_of_the_manifest() -> None:
    for table in parameter_table.tables():
        assert table in README


def test_readme_names_every_preset() -> None:
    for record in parameter_table.RECORDS.values():
        assert all(f"`{preset}`" in README for preset in record["presets"])


def test_every_parameter_is_read_somewhere() -> None:
    code = "".join(path.read_text(encoding="utf-8") for path in FOLDER.glob("*.py"))
    elsewhere = {"channel", "seed", "split", "split_strip", "validation_fraction"}
    for declared in parameter_table.DECLARED.values():
        own = {name for name in declared if not name.startswith(("unet_", "resnet_", "net_conv_"))}
        assert [name for name in own - elsewhere if f'"{name}"' not in code] == []


@pytest.mark.parametrize("backbone", ["unet", "resnet"])
def test_structure_of_a_request_is_that_of_the_model(backbone: str) -> None:
    declared = parameter_table.DECLARED["stardist3d"]
    parameters: dict[str, Any] = {name: each.get("default") for name, each in declared.items()}
    changes = {
        "unet_n_depth": 1,
        "unet_n_filter_base": 7,
        "unet_kernel_size": [1, 3, 5],
        "unet_n_conv_per_depth": 1,
        "unet_pool": [1, 2, 2],
        "unet_activation": "elu",
        "unet_last_activation": "linear",
        "unet_batch_norm": True,
        "unet_dropout": 0.1,
        "unet_expansion": 1.5,
        "net_conv_after_unet": 9,
        "resnet_n_blocks": 2,
        "resnet_n_filter_base": 5,
        "resnet_kernel_size": [1, 3, 5],
        "resnet_n_conv_per_block": 2,
        "resnet_activation": "elu",
        "resnet_batch_norm": True,
        "net_conv_after_resnet": 8,
    }
    assert set(changes) == {
        each for each in declared if each.startswith(("unet_", "resnet_", "net_"))
    }
    parameters.update(changes, backbone=backbone, n_rays=12, loss_weights=[2.0, 1.0])
    shape = architecture.geometry(parameters, [10.0, 20.0, 20.0])
    config = architecture.configuration(parameters, shape, (8, 16, 16), 0.01)
    own = {name: value for name, value in changes.items() if backbone in name}
    assert {name: _listed(getattr(config, name)) for name in own} == own
    assert (config.n_rays, config.backbone, config.grid) == (12, backbone, (1, 2, 2))
    assert (config.train_learning_rate, config.train_loss_weights) == (0.01, (2.0, 1.0))


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
