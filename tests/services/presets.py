# SPDX-License-Identifier: BSD-3-Clause
"""What holds for the presets of every service."""

from __future__ import annotations

from dl4mic.contradictions import check_contradictions
from dl4mic.manifest import Service
from dl4mic.v1.parameter_pb2 import ParameterValue
from dl4mic.v1.request_pb2 import TrainRequest


def check_presets(service: Service, network: str) -> None:
    """See that no preset of a network contradicts itself."""
    declared = service.records[network]["parameters"]
    for preset in service.network(network).presets:
        parameters = {"seed": ParameterValue(integer=1)}
        request = TrainRequest(network=network, preset=preset.name, parameters=parameters)
        check_contradictions(request, service.network(network), declared)
