# SPDX-License-Identifier: BSD-3-Clause
"""Threads of which one runs at a time, from one pause to the next, as a test says: every order can be played again."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Killed(BaseException):
    """The process of a fiber was killed: nothing of it runs any more, no handler of exceptions either."""


class Fiber:
    """One thread that runs only while its scheduler waits for it."""

    def __init__(self, name: str, work: Callable[[], object]) -> None:
        self.name = name
        self.at = ""
        self.done = False
        self.killed = False
        # Locks as batons: semaphores are several times slower, and batons are what schedules spend their time with.
        self._go, self._back = threading.Lock(), threading.Lock()
        self._go.acquire()
        self._back.acquire()
        self._thread = threading.Thread(target=self._run, args=(work,), daemon=True)
        self._started = False

    def resume(self) -> None:
        """Let it run to its next pause, or to its end."""
        if self.done:
            return
        if self._started:
            self._go.release()
        else:
            self._started = True
            self._thread.start()
        self._back.acquire()

    def kill(self) -> None:
        """End it where it stands."""
        self.killed = True
        if not self._started:
            self.done = True
        while not self.done:
            self.resume()

    def pause(self, where: str) -> None:
        """Give the control back, from inside."""
        self.at = where
        self._back.release()
        self._go.acquire()
        if self.killed:
            raise Killed

    def _run(self, work: Callable[[], object]) -> None:
        _current.fiber = self
        try:
            if not self.killed:
                work()
        except Killed:
            pass
        finally:
            self.done = True
            self._back.release()


_current = threading.local()


def pause(where: str) -> None:
    """Pause the fiber that calls; what runs outside of fibers goes on."""
    fiber: Fiber | None = getattr(_current, "fiber", None)
    if fiber is not None:
        fiber.pause(where)
