# SPDX-License-Identifier: BSD-3-Clause
"""The README says what the manifest says, and every parameter has an effect."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import architecture
import parameter_table
import pytest
from intensities import Intensities

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
    for declared in parameter_table.DECLARED.values():
        assert [name for name in set(declared) - elsewhere if f'"{name}"' not in code] == []


@pytest.mark.parametrize(("network", "dimensions"), [("n2v2d", 2), ("n2v3d", 3)])
def test_structure_of_a_request_is_that_of_the_model(network: str, dimensions: int) -> None:
    declared = parameter_table.DECLARED[network]
    parameters: dict[str, Any] = {name: each.get("default") for name, each in declared.items()}
    changes = {
        "unet_n_depth": 1,
        "unet_n_first": 7,
        "unet_kern_size": 5,
        "unet_residual": True,
        "batch_norm": False,
        "skip_skipone": True,
    }
    parameters.update(changes, n2v_manipulator="mean", n2v_struct_reach=[1] * dimensions)
    patch = (8, 16, 16)[-dimensions:]
    known = Intensities((100.0,), (10.0,))
    config = architecture.configuration(parameters, patch, 50, 0.01, known)
    assert config.is_valid(return_invalid=True) == (True, ())
    assert {name: getattr(config, name) for name in changes} == changes
    assert (config.n2v_manipulator, config.means, config.stds) == ("mean", ["100.0"], ["10.0"])
    assert (config.train_learning_rate, config.train_steps_per_epoch) == (0.01, 50)
