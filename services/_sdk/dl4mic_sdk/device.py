# SPDX-License-Identifier: BSD-3-Clause
"""The device that a job computes on."""

from __future__ import annotations

import platform
from dataclasses import dataclass

from dl4mic_sdk.errors import DeviceError


@dataclass(frozen=True)
class Device:
    """Where a job computes.

    Attributes
    ----------
    kind
        ``"cpu"`` or ``"gpu"``.
    name
        As the maker calls it.
    memory_bytes
        Of a GPU; 0 for the CPU.
    """

    kind: str
    name: str
    memory_bytes: int = 0


def cpu_kernel(asked: str) -> Device:
    """Multiply two small matrices with numpy and check the result.

    Parameters
    ----------
    asked
        ``"auto"``, ``"cpu"`` or ``"gpu"``.

    Raises
    ------
    DeviceError
        A GPU was asked for, which a network without a framework cannot use; or the CPU computes wrongly.
    """
    import numpy as np

    if asked == "gpu":
        raise DeviceError(
            "this network computes on the CPU only",
            "Ask for --device cpu, or leave the device out.",
        )
    product = np.full((8, 16), 2.0) @ np.full((16, 8), 0.5)
    if not np.array_equal(product, np.full((8, 8), 16.0)):
        raise DeviceError("the CPU multiplied two matrices wrongly", "Have the machine checked.")
    return Device("cpu", platform.processor() or platform.machine())
