# SPDX-License-Identifier: BSD-3-Clause
"""Tells a process that the kernel killed because memory ran out from one that somebody killed."""

from __future__ import annotations

from pathlib import Path
from typing import Callable, Iterator, Optional, Tuple

_PROC = Path("/proc")
_MOUNTS = Path("/sys/fs/cgroup")
_V2_MOUNTS = ("", "unified")
"""Below `_MOUNTS`: where version 2 is alone, and where version 1 is beside it."""

_KEY = "oom_kill"


def counter_of(pid: int, proc: Path = _PROC, mounts: Path = _MOUNTS) -> Callable[[], int]:
    """Return a function that counts whom the kernel has killed for want of memory, of those among whom a process is.

    Parameters
    ----------
    pid
        The process.
    proc, mounts
        Where the kernel's files are.

    Notes
    -----
    Control groups count their own, whether their limit or the machine's was met: `memory.events` in version 2,
    `memory.oom_control` in version 1 (Linux 4.13 and later, Documentation/admin-guide/cgroup-v2.rst and
    cgroup-v1/memory.rst). Without them the whole machine's counter is taken, of `vmstat`.
    """
    file = next((each for each in _candidates(pid, proc, mounts) if _read(each) is not None), None)
    return lambda: (_read(file) or 0) if file is not None else 0


def _candidates(pid: int, proc: Path, mounts: Path) -> Iterator[Path]:
    for controllers, inside in _groups(proc / str(pid) / "cgroup"):
        if "memory" in controllers.split(","):
            yield from _upwards(mounts / "memory", inside, "memory.oom_control")
        elif not controllers:
            for mount in _V2_MOUNTS:
                yield from _upwards(mounts / mount, inside, "memory.events")
    yield proc / "vmstat"


def _groups(file: Path) -> Iterator[Tuple[str, str]]:
    """Yield (controllers, path) of each hierarchy that the process is in; version 2 has no controllers."""
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, inside = line.split(":", 2)
        yield controllers, inside


def _upwards(mount: Path, inside: str, name: str) -> Iterator[Path]:
    """Yield the file of a group and of those above it: in a container, the path may be that of the machine."""
    folder = mount / inside.lstrip("/")
    while True:
        yield folder / name
        if folder == mount:
            return
        folder = folder.parent


def _read(file: Path) -> Optional[int]:
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return None
    values = dict(line.split(None, 1) for line in lines if " " in line)
    return int(values[_KEY]) if _KEY in values else None
