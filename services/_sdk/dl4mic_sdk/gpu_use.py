# SPDX-License-Identifier: BSD-3-Clause
"""Tell how much a worker's GPUs are used. NVIDIA's driver is asked directly, so that no service needs a package more.

Names and structures are those of NVML, docs.nvidia.com/deploy/nvml-api.
"""

from __future__ import annotations

import ctypes
from typing import Any, Dict, List, Mapping, Optional

_LIBRARY = "libnvidia-ml.so.1"
_WELL = 0
_VISIBLE = "CUDA_VISIBLE_DEVICES"


class _Memory(ctypes.Structure):
    """nvmlMemory_t, bytes."""

    _fields_ = [(name, ctypes.c_ulonglong) for name in ("total", "free", "used")]


class _Utilisation(ctypes.Structure):
    """nvmlUtilization_t, percent of the last moments in which something was computed, or memory was moved."""

    _fields_ = [(name, ctypes.c_uint) for name in ("gpu", "memory")]


class GpuUse:
    """The GPUs that this process may use.

    Parameters
    ----------
    driver
        NVIDIA's library, opened.
    environment
        CUDA_VISIBLE_DEVICES of it, numbers or UUIDs, says which GPUs; without it, all that the driver shows.
    """

    def __init__(self, driver: Any, environment: Mapping[str, str]) -> None:
        self._driver = driver
        self._handles = _handles(driver, environment)

    def figures(self) -> Dict[str, float]:
        """Give the fields of a heartbeat; what the driver does not tell is left out, and is not zero.

        Returns
        -------
        dict
            ``gpu_memory_bytes``: in use on these GPUs, which a job has to itself; ``gpu_utilisation``: 0 to 1, their
            mean.
        """
        found: Dict[str, float] = {}
        memory = [each.used for each in self._ask(self._driver.nvmlDeviceGetMemoryInfo, _Memory)]
        if memory:
            found["gpu_memory_bytes"] = int(sum(memory))
        load = [
            each.gpu for each in self._ask(self._driver.nvmlDeviceGetUtilizationRates, _Utilisation)
        ]
        if load:
            found["gpu_utilisation"] = sum(load) / len(load) / 100
        return found

    def _ask(self, function: Any, kind: Any) -> List[Any]:
        answers = [(kind(), handle) for handle in self._handles]
        return [
            answer for answer, handle in answers if function(handle, ctypes.byref(answer)) == _WELL
        ]


def gpu_use(environment: Mapping[str, str]) -> Optional[GpuUse]:
    """Open the driver's library; None where there is none, or no GPU behind it."""
    try:
        driver = ctypes.CDLL(_LIBRARY)
        if driver.nvmlInit_v2() != _WELL:
            return None
        return GpuUse(driver, environment)
    except (OSError, AttributeError):
        return None


def _handles(driver: Any, environment: Mapping[str, str]) -> List[ctypes.c_void_p]:
    names = environment.get(_VISIBLE)
    if names is None:
        count = ctypes.c_uint()
        well = driver.nvmlDeviceGetCount_v2(ctypes.byref(count)) == _WELL
        names = ",".join(str(index) for index in range(count.value if well else 0))
    found = [_handle(driver, name.strip()) for name in names.split(",") if name.strip()]
    return [handle for handle in found if handle is not None]


def _handle(driver: Any, name: str) -> Optional[ctypes.c_void_p]:
    handle = ctypes.c_void_p()
    if name.isdigit():
        status = driver.nvmlDeviceGetHandleByIndex_v2(
            ctypes.c_uint(int(name)), ctypes.byref(handle)
        )
    else:
        status = driver.nvmlDeviceGetHandleByUUID(name.encode(), ctypes.byref(handle))
    return handle if status == _WELL else None
