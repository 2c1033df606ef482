# SPDX-License-Identifier: BSD-3-Clause
"""Ask the NVIDIA driver which GPUs there are."""

from __future__ import annotations

import logging
from typing import Any, Protocol

from dl4mic_orchestrator.records import Gpu

log = logging.getLogger(__name__)


class Nvml(Protocol):
    """The part of the driver's library that is used, with the names of its Python binding."""

    NVMLError: type[Exception]

    def nvmlInit(self) -> None:
        """Open the library."""

    def nvmlShutdown(self) -> None:
        """Close it."""

    def nvmlSystemGetDriverVersion(self) -> str | bytes:
        """Get the driver's version."""

    def nvmlSystemGetCudaDriverVersion_v2(self) -> int:
        """Get the newest CUDA that the driver knows: 1000 times major plus 10 times minor."""

    def nvmlDeviceGetCount(self) -> int:
        """Count the GPUs."""

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Any:
        """Get one."""

    def nvmlDeviceGetName(self, handle: Any) -> str | bytes:
        """Get its name."""

    def nvmlDeviceGetMemoryInfo(self, handle: Any) -> Any:
        """Get its memory, bytes: `total`, `free`, `used`."""

    def nvmlDeviceGetCudaComputeCapability(self, handle: Any) -> tuple[int, int]:
        """Get its compute capability, (major, minor)."""


def find_gpus(nvml: Nvml) -> tuple[Gpu, ...]:
    """List the GPUs; none where there is no driver. One that does not answer is left out, and logged."""
    try:
        nvml.nvmlInit()
    except nvml.NVMLError:
        return ()
    try:
        found = (_gpu(nvml, index) for index in range(nvml.nvmlDeviceGetCount()))
        return tuple(gpu for gpu in found if gpu is not None)
    finally:
        nvml.nvmlShutdown()


def driver_versions(nvml: Nvml) -> tuple[str, tuple[int, int]]:
    """Tell the driver's version, and the newest CUDA that it knows; ("", (0, 0)) without a driver."""
    try:
        nvml.nvmlInit()
    except nvml.NVMLError:
        return "", (0, 0)
    try:
        version = nvml.nvmlSystemGetDriverVersion()
        cuda = int(nvml.nvmlSystemGetCudaDriverVersion_v2())
    finally:
        nvml.nvmlShutdown()
    words = version.decode() if isinstance(version, bytes) else version
    return words, (cuda // 1000, cuda % 1000 // 10)


def _gpu(nvml: Nvml, index: int) -> Gpu | None:
    try:
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        name = nvml.nvmlDeviceGetName(handle)
        memory_bytes = int(nvml.nvmlDeviceGetMemoryInfo(handle).total)
        capability = nvml.nvmlDeviceGetCudaComputeCapability(handle)
    except nvml.NVMLError as error:
        log.warning("GPU %d does not answer and is left out: %s", index, error)
        return None
    words = name.decode() if isinstance(name, bytes) else name
    return Gpu(index, words, memory_bytes, (int(capability[0]), int(capability[1])))
