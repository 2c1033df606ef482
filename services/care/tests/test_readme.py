# SPDX-License-Identifier: BSD-3-Clause
"""The README says what the manifest says, and every parameter has an effect."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import architecture
import parameter_table
from architecture import Channels

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
    elsewhere = {"channel", "seed", "split", "split_strip", "validation_fraction", "output_type"}
    warped = {"augment_zoom", "augment_rotation", "augment_shear", "augment_elastic"}
    for declared in parameter_table.DECLARED.values():
        own = set(declared) - elsewhere - warped
        assert [name for name in own if f'"{name}"' not in code] == []
    assert 'parameters[f"augment_{name}"]' in code


def test_structure_of_a_request_is_that_of_the_model() -> None:
    declared = parameter_table.DECLARED["care3d"]
    changes: dict[str, Any] = {
        "unet_n_depth": 1,
        "unet_kern_size": 5,
        "unet_n_first": 7,
        "unet_residual": False,
        "unet_last_activation": "relu",
        "probabilistic": True,
    }
    parameters = {name: each.get("default") for name, each in declared.items()}
    config = architecture.configuration({**parameters, **changes}, 3, Channels(2, 2), 9, 0.01)
    assert {name: getattr(config, name) for name in changes} == changes
    assert (config.train_loss, config.train_learning_rate) == ("laplace", 0.01)
    assert (config.n_channel_in, config.axes) == (2, "ZYXC")
