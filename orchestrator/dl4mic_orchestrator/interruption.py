# SPDX-License-Identifier: BSD-3-Clause
"""Tell the thread that works for a job that its work shall end, whatever it is waiting for."""

from __future__ import annotations

import threading
from collections.abc import Callable

from dl4mic_orchestrator.plan import Cause


class Interrupted(Exception):
    """The work was ended from outside."""


class Interruption:
    """Set once, by the reconciler; looked at, or listened to, by the job's thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._callbacks: list[Callable[[], None]] = []
        self.cause: Cause | None = None

    def set(self, cause: Cause) -> None:
        """End the work; the first cause stays."""
        with self._lock:
            if self.cause is not None:
                return
            self.cause = cause
            callbacks = list(self._callbacks)
        for callback in callbacks:
            callback()

    def call(self, callback: Callable[[], None]) -> None:
        """Have something called when the work shall end; at once, if that was said already."""
        with self._lock:
            self._callbacks.append(callback)
            late = self.cause is not None
        if late:
            callback()

    def check(self) -> None:
        """Raise `Interrupted` when the work shall end."""
        if self.cause is not None:
            raise Interrupted
