# SPDX-License-Identifier: BSD-3-Clause
"""What a request says of a model's structure is what the library is told."""

from __future__ import annotations

from typing import Any

import architecture
import pytest
from jobs import RECORDS


@pytest.mark.parametrize("backbone", ["unet", "resnet"])
def test_structure_of_a_request_is_that_of_the_model(backbone: str) -> None:
    declared = RECORDS["stardist3d"]["parameters"]
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
