# SPDX-License-Identifier: BSD-3-Clause
"""The time by which decisions are taken: it begins as the time of day, and runs on evenly whatever is set there.

Deadlines, pauses and idle times are meant as time that passes. A clock that is put right by an hour, forwards or
back, must neither end a job nor keep it waiting. A new process begins with the time of day anew.
"""

from __future__ import annotations

import time

_ORIGIN = time.time() - time.monotonic()


def now() -> float:
    """Seconds since 1970, by a clock that never jumps."""
    return _ORIGIN + time.monotonic()
