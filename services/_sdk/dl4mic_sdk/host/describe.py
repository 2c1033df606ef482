# SPDX-License-Identifier: BSD-3-Clause
"""What `Describe` adds to the manifest: versions and devices, without importing the framework."""

from __future__ import annotations

import platform
import sys
from pathlib import Path
from typing import Dict, Iterator

from dl4mic.manifest import Service
from dl4mic.v1.network_pb2 import ComputeDevice, Network
from dl4mic.v1.request_pb2 import JobOptions
from dl4mic_sdk.versions import installed_versions

_NVIDIA = Path("/proc/driver/nvidia/gpus")


def describe(network: Network, service: Service) -> Network:
    """Copy a network and add what this process sees."""
    seen = Network()
    seen.CopyFrom(network)
    versions: Dict[str, str] = installed_versions(service.packages)
    versions["python"] = platform.python_version()
    for name, version in versions.items():
        seen.package_versions[name] = version
    seen.devices.extend(_devices())
    return seen


def _devices() -> Iterator[ComputeDevice]:
    for information in sorted(_NVIDIA.glob("*/information")):
        yield ComputeDevice(kind=JobOptions.GPU, name=_model(information))
    yield ComputeDevice(kind=JobOptions.CPU, name=platform.processor() or sys.platform)


def _model(information: Path) -> str:
    for line in information.read_text().splitlines():
        key, _, value = line.partition(":")
        if key == "Model":
            return value.strip()
    return "NVIDIA GPU"
