# SPDX-License-Identifier: BSD-3-Clause
"""The retry table of the contract: what follows when an attempt fails. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Optional, Sequence

from dl4mic.v1.job_pb2 import JobError

ALWAYS = frozenset({JobError.NODE_LOST, JobError.PREEMPTED})
AFTER_PROGRESS = frozenset({JobError.CRASHED, JobError.UNRESPONSIVE, JobError.INTERNAL})
WHEN_IT_COMES_BACK = frozenset(
    {
        JobError.IMAGE_UNAVAILABLE,
        JobError.ENVIRONMENT_UNAVAILABLE,
        JobError.VOLUME_UNAVAILABLE,
        JobError.GPU_UNUSABLE,
    }
)

MOST_ATTEMPTS = 3
FIRST_PAUSE = timedelta(seconds=10)
LONGEST_PAUSE = timedelta(minutes=10)
LONGEST_WAIT = timedelta(hours=24)


@dataclass(frozen=True)
class Failure:
    """How one attempt ended.

    Attributes
    ----------
    code
        Of its error.
    progressed
        It left a checkpoint or a finished item that the attempt before it had not.
    """

    code: int
    progressed: bool = False


def pause_before_retry(
    failures: Sequence[Failure], waited: timedelta = timedelta(0)
) -> Optional[timedelta]:
    """Say how long to pause before the next attempt, or None when there shall be none.

    Parameters
    ----------
    failures
        Of every attempt since the job was accepted or retried by hand, oldest first; the last one is the newest.
    waited
        Since the first of the failures that came in a row with the newest one's code.

    Returns
    -------
    datetime.timedelta or None
        Nothing is tried again by itself whose cause must be mended by a person first.
    """
    newest = failures[-1]
    if newest.code in ALWAYS:
        return timedelta(0)
    if newest.code in AFTER_PROGRESS:
        return _pause_after_crash(failures)
    if newest.code in WHEN_IT_COMES_BACK and waited < LONGEST_WAIT:
        in_a_row = len(failures) - _start_of_row(failures)
        return min(FIRST_PAUSE * (1 << min(in_a_row - 1, 16)), LONGEST_PAUSE)
    return None


def _pause_after_crash(failures: Sequence[Failure]) -> Optional[timedelta]:
    crashes = [each for each in failures if each.code in AFTER_PROGRESS]
    if len(crashes) >= MOST_ATTEMPTS:
        return None
    if len(crashes) == 1 or crashes[-1].progressed:
        return timedelta(0)
    return None


def _start_of_row(failures: Sequence[Failure]) -> int:
    start = len(failures)
    while start and failures[start - 1].code == failures[-1].code:
        start -= 1
    return start
