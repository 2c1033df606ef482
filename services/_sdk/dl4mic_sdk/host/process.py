# SPDX-License-Identifier: BSD-3-Clause
"""Runs one worker process, and ends all of its processes with it."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Optional

from dl4mic_sdk.job_folder import LOG_FILE

GRACE_SECONDS = 30.0
"""Between SIGTERM and SIGKILL: time to write a checkpoint."""

_LAST_WORDS_SECONDS = 2.0
"""Between SIGABRT and SIGKILL: time to write the stacks of all threads."""


class Worker:
    """One run of ``python -m dl4mic_sdk.worker``, in a session of its own.

    The thread that makes it must live as long as it does: on Linux the kernel kills the worker when that thread ends.
    """

    def __init__(self, attempt_folder: Path, heartbeat_seconds: float) -> None:
        command = [sys.executable, "-m", "dl4mic_sdk.worker"]
        command += [str(attempt_folder), str(os.getpid()), str(heartbeat_seconds)]
        with (attempt_folder / LOG_FILE).open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self.pid = self._process.pid
        self._end = _EndOf(self.pid)
        self._killer: Optional[threading.Timer] = None

    def wait(self, seconds: float) -> Optional[int]:
        """Wait for the end; return its exit status, or None where it runs on after so long."""
        if self._end.is_supported:
            self._end.wait(seconds)
            return self._process.poll()
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def stop(self, grace_seconds: float = GRACE_SECONDS) -> None:
        """Ask the worker to checkpoint and end; kill all of its processes when the grace is over."""
        if self._killer is None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            self._killer = threading.Timer(grace_seconds, self.kill)
            self._killer.daemon = True
            self._killer.start()

    def abort(self) -> int:
        """End a worker that does not answer; its log gets the stacks of its threads, which faulthandler writes."""
        self._process.send_signal(signal.SIGABRT)
        self._process.send_signal(signal.SIGCONT)  # one that was stopped takes no other signal
        status = self.wait(_LAST_WORDS_SECONDS)
        self.kill()
        return self._process.wait() if status is None else status

    def clear(self) -> None:
        """Clear away what an ended worker left running."""
        if self._killer is not None:
            self._killer.cancel()
        self._end.close()
        self.kill()

    def kill(self) -> None:
        """Kill all of its processes."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


class _EndOf:
    """Waits for the end of a process without asking again and again, where Python (3.9) and Linux (5.3) can."""

    def __init__(self, pid: int) -> None:
        self._poll: Any = None
        try:
            self._descriptor = os.pidfd_open(pid)  # type: ignore[attr-defined,unused-ignore]
        except (AttributeError, OSError):
            return
        self._poll = select.poll()
        self._poll.register(self._descriptor, select.POLLIN)

    @property
    def is_supported(self) -> bool:
        return self._poll is not None

    def wait(self, seconds: float) -> None:
        self._poll.poll(seconds * 1000)

    def close(self) -> None:
        if self._poll is not None:
            self._poll = None
            os.close(self._descriptor)
