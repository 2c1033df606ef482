# SPDX-License-Identifier: BSD-3-Clause
"""Look at processes in /proc, and end whole families of them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_POLL_SECONDS = 0.02
_KILL_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class ProcessRef:
    """One process for all time: its id is given again, but not with the same start time (clock ticks since boot)."""

    pid: int
    start_ticks: int


@dataclass(frozen=True, slots=True)
class _Stat:
    pid: int
    state: str
    parent: int
    group: int
    start_ticks: int


def boot_id() -> str:
    """Name this run of the machine."""
    return (_PROC / "sys/kernel/random/boot_id").read_text().strip()


def reference(pid: int) -> ProcessRef | None:
    """Name a process that runs now; None when there is none."""
    stat = _stat(pid)
    return ProcessRef(pid, stat.start_ticks) if stat is not None else None


def is_alive(process: ProcessRef) -> bool:
    """Say whether the process still runs; one that has ended and was not waited for does not."""
    stat = _stat(process.pid)
    return stat is not None and stat.start_ticks == process.start_ticks and stat.state not in "ZX"


def find(argument: str) -> ProcessRef | None:
    """Find the process that was started with an argument."""
    for stat in _all():
        try:
            arguments = (_PROC / str(stat.pid) / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if argument.encode() in arguments and stat.state not in "ZX":
            return ProcessRef(stat.pid, stat.start_ticks)
    return None


def command_lines() -> Iterator[str]:
    """Iterate over what the machine's processes were started with: program and arguments, by spaces."""
    for stat in _all():
        try:
            command = (_PROC / str(stat.pid) / "cmdline").read_bytes()
        except OSError:
            continue
        yield command.replace(b"\0", b" ").decode("utf-8", "replace")


def end_family(process: ProcessRef, grace_seconds: float) -> None:
    """End a process that leads a group, and everything that descends from it.

    SIGTERM goes to the process alone, which passes it on as it sees fit; after the grace, or when it is gone, SIGKILL
    goes to the groups of the whole family.
    """
    family = _family(process)
    if is_alive(process):
        _send(process.pid, signal.SIGTERM)
        _await_end(process, grace_seconds)
    # Those that were started since, too; once the leader is gone, they are nobody's children.
    family |= _family(process)
    for group in set(family.values()):
        _kill_group(group)
    for member in family:
        _await_end(member, _KILL_SECONDS)


def _family(process: ProcessRef) -> dict[ProcessRef, int]:
    """Tell the group of the process and of each of its descendants, as far as they run."""
    if not is_alive(process):
        return {}
    stats = list(_all())
    pids = {process.pid}
    while children := {stat.pid for stat in stats if stat.parent in pids} - pids:
        pids |= children
    return {
        ProcessRef(stat.pid, stat.start_ticks): stat.group for stat in stats if stat.pid in pids
    }


def _kill_group(group: int) -> None:
    if group == os.getpgrp():
        return
    try:
        os.killpg(group, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def _send(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _await_end(process: ProcessRef, timeout_seconds: float) -> None:
    end = time.monotonic() + timeout_seconds
    while is_alive(process) and time.monotonic() < end:
        time.sleep(_POLL_SECONDS)


def _all() -> Iterator[_Stat]:
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            stat = _stat(int(entry.name))
            if stat is not None:
                yield stat


def _stat(pid: int) -> _Stat | None:
    try:
        text = (_PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    # The name, in parentheses, may hold anything; proc(5) numbers the fields after it from 3.
    fields = text[text.rindex(")") + 2 :].split()
    return _Stat(
        pid,
        state=fields[0],
        parent=int(fields[1]),
        group=int(fields[2]),
        start_ticks=int(fields[19]),
    )
