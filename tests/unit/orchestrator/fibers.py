# SPDX-License-Identifier: BSD-3-Clause
"""Work as of threads, of which one runs at a time, from one pause to the next, as a test says, in an order that can be
played again. Greenlets: to switch between threads is what such a test would spend its time with."""

from __future__ import annotations

from collections.abc import Callable

from greenlet import getcurrent, greenlet


class Killed(BaseException):
    """The process of a fiber was killed: nothing of it runs any more, no handler of exceptions either."""


class Fiber(greenlet):
    """Work that runs only while its scheduler waits for it."""

    def __init__(self, name: str, work: Callable[[], object]) -> None:
        super().__init__()
        self.name = name
        self.at = ""
        self._work = work
        self._killed = False

    @property
    def done(self) -> bool:
        """Whether nothing of it will run any more."""
        return self.dead or (self._killed and not self)

    def resume(self) -> None:
        """Let it run to its next pause, or to its end."""
        if not self.done:
            self.parent = getcurrent()
            self.switch()

    def kill(self) -> None:
        """End it where it stands."""
        self._killed = True
        while not self.done:
            self.parent = getcurrent()
            self.throw(Killed)

    def run(self) -> None:
        try:
            self._work()
        except Killed:
            pass


def current() -> Fiber | None:
    """Return the fiber that calls, None outside of fibers."""
    fiber = getcurrent()
    return fiber if isinstance(fiber, Fiber) else None


def pause(where: str) -> None:
    """Pause the fiber that calls; what runs outside of fibers goes on."""
    fiber = current()
    if fiber is not None:
        fiber.at = where
        fiber.parent.switch()
