# SPDX-License-Identifier: BSD-3-Clause
"""When a server shall end: at SIGTERM, at SIGINT, or when it says so itself."""

import os
import select
import signal
from contextlib import suppress
from typing import Optional


class Ending:
    """What a server's main thread waits for.

    A `threading.Event` that a signal's handler sets can be missed for ever: Python runs handlers in the main thread
    alone, between its instructions, and a signal that comes just before that thread falls asleep, or meets another
    thread, wakes nobody. A pipe is written to by the signal itself.
    """

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)

    def come_by_signals(self) -> None:
        """Let SIGTERM and SIGINT bring it; to be called in the main thread."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)

    def come(self) -> None:
        """Bring it; any thread may."""
        with suppress(BlockingIOError):  # so full that it has come long ago
            os.write(self._write, b"\0")

    def wait(self, seconds: Optional[float] = None) -> bool:
        """Wait until it has come, or for so long; say whether it has."""
        return bool(select.select([self._read], [], [], seconds)[0])
