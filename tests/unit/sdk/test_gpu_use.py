# SPDX-License-Identifier: BSD-3-Clause
"""Figures of GPUs, from a scripted driver, and from the real one where there is a GPU."""

from __future__ import annotations

import os
from typing import Any, Dict, Optional

import pytest

from dl4mic_sdk.device import Device
from dl4mic_sdk.gpu_use import GpuUse, gpu_use
from dl4mic_sdk.worker import sign_of_life

NOT_SUPPORTED = 3


class Driver:
    """NVML with four GPUs, of which the last one does not answer; number and UUID tell them apart."""

    def __init__(self, load: bool = True) -> None:
        self.used = [100, 200, 400]
        self.percent = [0, 50, 100]
        self.load = load

    def nvmlDeviceGetCount_v2(self, count: Any) -> int:
        count._obj.value = 4
        return 0

    def nvmlDeviceGetHandleByIndex_v2(self, index: Any, handle: Any) -> int:
        handle._obj.value = index.value + 1
        return 0 if index.value < 3 else 15

    def nvmlDeviceGetHandleByUUID(self, uuid: bytes, handle: Any) -> int:
        handle._obj.value = int(uuid.rpartition(b"-")[2]) + 1
        return 0

    def nvmlDeviceGetMemoryInfo(self, handle: Any, memory: Any) -> int:
        memory._obj.used = self.used[handle.value - 1]
        return 0

    def nvmlDeviceGetUtilizationRates(self, handle: Any, load: Any) -> int:
        load._obj.gpu = self.percent[handle.value - 1]
        return 0 if self.load else NOT_SUPPORTED


@pytest.mark.parametrize(
    ("visible", "memory", "load"),
    [
        (None, 700, 0.5),
        ("0", 100, 0.0),
        ("2, 1", 600, 0.75),
        ("GPU-a-1", 200, 0.5),
        ("3,0", 100, 0.0),
    ],
)
def test_the_visible_gpus_are_added_up(visible: Optional[str], memory: int, load: float) -> None:
    environment = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    figures = GpuUse(Driver(), environment).figures()
    assert figures == {"gpu_memory_bytes": memory, "gpu_utilisation": load}


def test_what_a_part_of_a_gpu_does_not_tell_is_left_out() -> None:
    environment = {"CUDA_VISIBLE_DEVICES": "1"}
    assert GpuUse(Driver(load=False), environment).figures() == {"gpu_memory_bytes": 200}


@pytest.mark.parametrize("visible", ["", "3"])
def test_without_a_gpu_there_are_no_figures(visible: str) -> None:
    assert GpuUse(Driver(), {"CUDA_VISIBLE_DEVICES": visible}).figures() == {}


def test_only_a_job_that_computes_on_a_gpu_tells_of_it() -> None:
    use = GpuUse(Driver(), {"CUDA_VISIBLE_DEVICES": "1"})
    on_gpu, on_cpu = (sign_of_life(Device(kind, ""), use) for kind in ("gpu", "cpu"))
    assert (on_gpu["gpu_memory_bytes"], on_gpu["gpu_utilisation"]) == (200, 0.5)
    assert set(on_cpu) == {"memory_bytes"} == set(sign_of_life(Device("gpu", ""), None))


def test_the_real_driver() -> None:
    use = gpu_use(os.environ)
    figures: Dict[str, float] = use.figures() if use is not None else {}
    if not figures:
        pytest.skip("no GPU of NVIDIA's here")
    assert figures["gpu_memory_bytes"] > 0
    assert 0 <= figures["gpu_utilisation"] <= 1
