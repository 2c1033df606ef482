# SPDX-License-Identifier: BSD-3-Clause
"""Runs one worker process, and ends all of its processes with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Optional

from dl4mic_sdk.job_folder import LOG_FILE

EXIT_STOPPED = 4
"""Of a worker that was asked to stop and has put its work into a resumable state."""

GRACE_SECONDS = 30.0
"""Between SIGTERM and SIGKILL: time to write a checkpoint."""


class Worker:
    """One run of ``python -m dl4mic_sdk.worker``, in a session of its own.

    The thread that makes it must live as long as it does: on Linux the kernel kills the worker when that thread ends.
    """

    def __init__(self, attempt_folder: Path) -> None:
        self._attempt_folder = attempt_folder
        command = [sys.executable, "-m", "dl4mic_sdk.worker", str(attempt_folder), str(os.getpid())]
        with (attempt_folder / LOG_FILE).open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self._killer: Optional[threading.Timer] = None

    def stop(self, grace_seconds: float = GRACE_SECONDS) -> None:
        """Ask the worker to checkpoint and end; kill all of its processes when the grace is over."""
        if self._killer is None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            self._killer = threading.Timer(grace_seconds, self._kill)
            self._killer.daemon = True
            self._killer.start()

    def wait(self) -> int:
        """Wait for the end, clear away what the worker left running, and return its exit status."""
        status = self._process.wait()
        if self._killer is not None:
            self._killer.cancel()
        self._kill()
        return status

    def _kill(self) -> None:
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
