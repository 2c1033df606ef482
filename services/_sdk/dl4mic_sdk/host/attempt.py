# SPDX-License-Identifier: BSD-3-Clause
"""Looks after the worker of one attempt: its deadline, its signs of life, and how it ended."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Deque, Mapping, Optional, Tuple

from dl4mic_sdk.events import FILE_NAME
from dl4mic_sdk.host import faults
from dl4mic_sdk.host.oom import counter_of
from dl4mic_sdk.host.process import Worker
from dl4mic_sdk.job_folder import EXIT_DONE, EXIT_STOPPED, RESERVE_FILE

LOOK_SECONDS = 0.1
"""How often it is looked at the worker, and at what it wrote for its watchers."""

HEARTBEAT_SECONDS = 10.0

SILENCE_SECONDS = 120.0
"""A worker that writes nothing for so long hangs: it beats from a thread that needs nothing but the interpreter's
lock. One that computes, or waits, for hours beats all the while, and is no hang."""

RESERVE_BYTES = 1 << 16
"""Held on the disk while the worker runs, so that a full disk still takes the word about its end."""

_LONGEST_STEP_SECONDS = 1.0
_MEMORY_SECONDS = 10.0
"""The kernel counts a kill when it decides on it; a large process takes seconds to be gone."""


@dataclass(frozen=True)
class End:
    """How the worker ended.

    Attributes
    ----------
    done
        It has done its job.
    stopped
        It was asked to end before, and has put its work into a resumable state or was killed for it.
    overdue
        It was asked because the deadline came.
    fault
        What else was the matter, in the JSON form of the contract's JobError.
    """

    done: bool
    stopped: bool
    overdue: bool
    fault: Mapping[str, Any]


class Attempt:
    """The run of one worker.

    Parameters
    ----------
    folder
        Of the attempt, with its request.
    deadline
        Monotonic seconds; None for none.
    silence_seconds
        A worker that gives no sign of life for so long is ended.
    look
        Called again and again while the worker runs.
    """

    def __init__(
        self,
        folder: Path,
        deadline: Optional[float],
        silence_seconds: float,
        look: Callable[[], None],
    ) -> None:
        self._folder = folder
        self._deadline = deadline
        self._look = look
        self._silence = _Silence(folder / FILE_NAME, silence_seconds)
        self._overdue = False
        self._stopped = False
        reserve = folder / RESERVE_FILE
        reserve.write_bytes(bytes(RESERVE_BYTES))
        self._worker = Worker(folder, min(HEARTBEAT_SECONDS, silence_seconds / 4))
        self._memory = _Memory(self._worker.pid)

    def stop(self) -> None:
        """Ask the worker to checkpoint and end."""
        self._stopped = True
        self._worker.stop()

    def run(self) -> End:
        """Look after the worker until it has ended; to be called by the thread that made it."""
        hung = False
        while True:
            status = self._worker.wait(LOOK_SECONDS)
            if status is not None:
                break
            self._look()
            self._memory.look()
            if self._deadline is not None and time.monotonic() >= self._deadline:
                self._overdue = True
                self.stop()
            if self._silence.is_over():
                hung = True
                status = self._worker.abort()
                break
        self._worker.clear()
        (self._folder / RESERVE_FILE).unlink()
        return End(
            done=status == EXIT_DONE,
            stopped=self._stopped and (status < 0 or status == EXIT_STOPPED),
            overdue=self._overdue,
            fault={} if status == EXIT_DONE else self._fault(status, hung),
        )

    def _fault(self, status: int, hung: bool) -> Mapping[str, Any]:
        if hung:
            return faults.silent(self._silence.seconds)
        return faults.of_worker(self._folder, status, self._memory.ran_out())


class _Silence:
    """Measures for how long a file has not grown. Time in which this process did not run either does not count."""

    def __init__(self, file: Path, seconds: float) -> None:
        self.seconds = seconds
        self._file = file
        self._size = -1
        self._silent = 0.0
        self._last = time.monotonic()

    def is_over(self) -> bool:
        now = time.monotonic()
        self._silent += min(now - self._last, _LONGEST_STEP_SECONDS)
        self._last = now
        try:
            size = self._file.stat().st_size
        except OSError:
            size = self._size
        if size != self._size:
            self._size, self._silent = size, 0.0
        return self._silent >= self.seconds


class _Memory:
    """Remembers how often the kernel had killed for want of memory a little while ago."""

    def __init__(self, pid: int) -> None:
        self._count = counter_of(pid)
        self._counts: Deque[Tuple[float, int]] = deque()
        self.look()

    def look(self) -> None:
        now = time.monotonic()
        if self._counts and now - self._counts[-1][0] < 1.0:
            return
        self._counts.append((now, self._count()))
        while len(self._counts) > 1 and self._counts[1][0] <= now - _MEMORY_SECONDS:
            self._counts.popleft()

    def ran_out(self) -> bool:
        return self._count() > self._counts[0][1]
