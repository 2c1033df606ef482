# SPDX-License-Identifier: BSD-3-Clause
"""Wait until an instance can be dialled, or for the word why it cannot: a cluster has a queue, and eyes, of its own."""

from __future__ import annotations

import time
from collections.abc import Callable

from dl4mic_orchestrator.backends.base import Backend, Probe, State, UnavailableError

_FIRST_PAUSE_SECONDS = 0.02
_LONGEST_PAUSE_SECONDS = 0.25
"""Between looks, which are into the backend's own memory of the cluster."""

_PAUSE_AT_PLACE_SECONDS = 0.05
"""Between looks at an instance that has its place and comes up: there are few of those, and it is not for long."""

_NOTICE_SECONDS = 3.0
"""What a cluster tells comes by another way than what an instance tells, and may come later."""


def await_arrival(
    backend: Backend, state: State, heard: Callable[[Probe], None]
) -> tuple[State, Probe]:
    """Wait until an instance can be dialled, or is gone.

    Parameters
    ----------
    heard
        Takes each look; it raises when nobody waits any more.

    Returns
    -------
    tuple
        The state with what was found, to be saved, and the last look.

    Raises
    ------
    UnavailableError
        The backend knows why it is gone, or cannot come up.
    """
    pause = _FIRST_PAUSE_SECONDS
    while True:
        probe = backend.probe([state])[0]
        heard(probe)
        if probe.fault is not None:
            raise unavailable(probe)
        if not probe.waiting:
            return {**state, **probe.found}, probe
        time.sleep(pause)
        pause = min(2 * pause, _PAUSE_AT_PLACE_SECONDS if probe.place else _LONGEST_PAUSE_SECONDS)


def last_word(look: Callable[[], Probe], crashed: bool) -> Probe:
    """Look how an instance is after its job has ended; after a crash, give the backend a moment to see what it was."""
    end = time.monotonic() + (_NOTICE_SECONDS if crashed else 0.0)
    probe = look()
    while probe.alive and probe.fault is None and time.monotonic() < end:
        time.sleep(_FIRST_PAUSE_SECONDS)
        probe = look()
    return probe


def unavailable(probe: Probe, *, begun: bool = True) -> UnavailableError:
    """Make the error of an instance that is gone, for reasons that the backend may know.

    One that has not `begun` with its job ends by itself when nobody calls it for a while.
    """
    if probe.fault is not None:
        return UnavailableError(probe.fault.code, probe.fault.message, probe.fault.hint)
    if probe.node_lost:
        return UnavailableError(
            "NODE_LOST", "the machine was restarted while the job ran", FROM_CHECKPOINT
        )
    if probe.ended and not begun:
        message = "the service ended without a job: the orchestrator was away when it came up"
        return UnavailableError("PREEMPTED", message, "It is started again by itself.")
    return UnavailableError("CRASHED", "the service ended while the job ran", FROM_CHECKPOINT)


FROM_CHECKPOINT = "It goes on from its last checkpoint."
