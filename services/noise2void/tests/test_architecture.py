# SPDX-License-Identifier: BSD-3-Clause
"""What a request says of a model's structure is what the library is told."""

from __future__ import annotations

from typing import Any

import architecture
import pytest
from intensities import Intensities
from jobs import RECORDS


@pytest.mark.parametrize(("network", "dimensions"), [("n2v2d", 2), ("n2v3d", 3)])
def test_structure_of_a_request_is_that_of_the_model(network: str, dimensions: int) -> None:
    declared = RECORDS[network]["parameters"]
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
