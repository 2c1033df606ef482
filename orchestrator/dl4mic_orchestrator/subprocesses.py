# SPDX-License-Identifier: BSD-3-Clause
"""Run a program to its end, unless the work is interrupted, or we die: then it is killed with all that it started."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence

_LOOK_MILLISECONDS = 100

_DIE_WITH_US = (
    "import ctypes, os, sys\n"
    "ctypes.CDLL(None).prctl(1, 9)\n"  # PR_SET_PDEATHSIG, SIGKILL: it outlives the exec
    "os.getppid() == int(sys.argv[1]) or os._exit(1)\n"
    "os.execvp(sys.argv[2], sys.argv[2:])"
)
"""Becomes the program, which the kernel then kills when our thread dies. A hook of Popen's could hang among threads."""


def run(
    command: Sequence[str], environment: Mapping[str, str], check: Callable[[], None]
) -> tuple[int, str]:
    """Run a program.

    Parameters
    ----------
    check
        Called ten times a second; when it raises, the program is killed and the exception goes on.

    Returns
    -------
    tuple
        Exit status, and what the program said on standard error.
    """
    with tempfile.TemporaryFile() as errors:
        ours = (sys.executable, "-I", "-S", "-c", _DIE_WITH_US, str(os.getpid()))
        process = subprocess.Popen(
            [*ours, *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            env=dict(environment),
            start_new_session=True,
        )
        try:
            _await_end(process.pid, check)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        finally:
            status = process.wait()
        errors.seek(0)
        return status, errors.read().decode("utf-8", "replace")


def _await_end(pid: int, check: Callable[[], None]) -> None:
    """Wait without polling the process: its end is noticed at once."""
    descriptor = os.pidfd_open(pid)
    try:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        while not poll.poll(_LOOK_MILLISECONDS):
            check()
    finally:
        os.close(descriptor)
