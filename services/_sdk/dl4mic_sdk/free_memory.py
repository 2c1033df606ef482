# SPDX-License-Identifier: BSD-3-Clause
"""How much main memory a process may still take, and how much of that one tile of an image."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

_GROUPS = (
    ("sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory.current"),
    (
        "sys/fs/cgroup/memory/memory.limit_in_bytes",
        "sys/fs/cgroup/memory/memory.usage_in_bytes",
    ),
)
"""Limit and use of the control group that a container sees as its own, of version 2 and 1."""


_MOST_BYTES = 2 << 30
_LEAST_BYTES = 256 << 20
_SHARE = 0.5


def memory_for_tile() -> float:
    """Return bytes for what a network holds of one tile: half of what is free, at least 256 MiB and at most 2 GiB."""
    free = free_memory()
    return _MOST_BYTES if free is None else min(_MOST_BYTES, max(_LEAST_BYTES, free * _SHARE))


def free_memory(root: Path = Path("/")) -> Optional[int]:
    """Return bytes that are free on the machine and, in a container, below its limit; None: the system does not say.

    Parameters
    ----------
    root
        Of the file system.
    """
    limits = [_of_machine(root / "proc/meminfo")]
    limits += [_below(root / limit, root / use) for limit, use in _GROUPS]
    return min((each for each in limits if each is not None), default=None)


def _of_machine(file: Path) -> Optional[int]:
    try:
        lines = file.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    kib = (int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    found = next(kib, None)
    return None if found is None else found * 1024


def _below(limit: Path, use: Path) -> Optional[int]:
    try:
        return max(0, int(limit.read_text()) - int(use.read_text()))
    except (OSError, ValueError):  # version 2 says "max" where there is no limit
        return None
