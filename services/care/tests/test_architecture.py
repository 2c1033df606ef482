# SPDX-License-Identifier: BSD-3-Clause
"""What a request says of a model's structure is what the library is told."""

from __future__ import annotations

from typing import Any

import architecture
from architecture import Channels
from jobs import RECORDS


def test_structure_of_a_request_is_that_of_the_model() -> None:
    declared = RECORDS["care3d"]["parameters"]
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
