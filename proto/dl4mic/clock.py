# SPDX-License-Identifier: BSD-3-Clause
"""How a server tells its time of day beside an answer, so that its caller can compare clocks. Pure."""

from __future__ import annotations

from typing import Iterable, Optional, Tuple, Union

HEADER = "dl4mic-time"
"""Key in a call's trailing metadata: seconds since 1970 when the answer was ready."""


def header(now: float) -> Tuple[str, str]:
    """Write a time of day as an entry of metadata."""
    return HEADER, "{:.3f}".format(now)


def read(metadata: Iterable[Tuple[str, Union[str, bytes]]]) -> Optional[float]:
    """Read the time of day from metadata; None where it is not told."""
    for key, value in metadata:
        if key == HEADER:
            return float(value)
    return None
