# SPDX-License-Identifier: BSD-3-Clause
"""Parameters of the manifest that do not go together, refused before TensorFlow is loaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from dl4mic.check import Refused
from dl4mic.contradictions import check_contradictions
from dl4mic.manifest import read_service
from dl4mic.v1.parameter_pb2 import ParameterList, ParameterValue
from dl4mic.v1.request_pb2 import TrainRequest

SERVICE = read_service(Path(__file__).resolve().parents[1])


def sizes(*numbers: int) -> ParameterValue:
    return ParameterValue(list=ParameterList(values=[ParameterValue(integer=n) for n in numbers]))


def check(network: str, preset: str = "", **parameters: ParameterValue) -> None:
    request = TrainRequest(network=network, preset=preset, parameters=parameters)
    declared = SERVICE.records[network]["parameters"]
    check_contradictions(request, SERVICE.network(network), declared)


@pytest.mark.parametrize("network", SERVICE.networks)
def test_presets_do_not_contradict_themselves(network: str) -> None:
    for preset in SERVICE.network(network).presets:
        check(network, preset.name, seed=ParameterValue(integer=1))


def test_patches_are_multiples_of_what_the_network_divides_by() -> None:
    with pytest.raises(
        Refused, match=r"grid \[2, 2\] x unet_pool .* unet_n_depth 3: use \[96, 96\]"
    ):
        check("stardist2d", patch_size=sizes(100, 100))
    check("stardist2d", patch_size=sizes(96, 96))
    with pytest.raises(Refused, match="less twice completion_crop"):
        check(
            "stardist2d", patch_size=sizes(100, 96), shape_completion=ParameterValue(boolean=True)
        )
    resnet = ParameterValue(text="resnet")
    check("stardist3d", patch_size=sizes(5, 6, 7), grid=sizes(1, 2, 1), backbone=resnet)
    with pytest.raises(Refused, match="grid"):
        check("stardist3d", patch_size=sizes(5, 6, 7), grid=sizes(2, 2, 1), backbone=resnet)


def test_parameters_of_the_other_backbone_have_no_effect() -> None:
    with pytest.raises(Refused, match="while backbone is unet"):
        check("stardist3d", resnet_n_blocks=ParameterValue(integer=2))
