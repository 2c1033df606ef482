# SPDX-License-Identifier: BSD-3-Clause
"""The jobs that wait for their turn: in the order in which they came, some of them not before a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, FrozenSet, List, Optional


@dataclass(frozen=True)
class Wait:
    """How a job waits; times are those of a clock that never jumps.

    Attributes
    ----------
    due
        It does not run before this time.
    deadline
        It does not wait beyond this time; None for ever.
    needs
        Jobs that it goes behind, as long as they wait too.
    """

    due: float = 0.0
    deadline: Optional[float] = None
    needs: FrozenSet[str] = frozenset()


class Waiting:
    """The queue of a host."""

    def __init__(self) -> None:
        self._jobs: Dict[str, Wait] = {}

    def add(self, job_id: str, wait: Wait) -> None:
        """Put a job at the end."""
        self._jobs[job_id] = wait

    def remove(self, job_id: str) -> bool:
        """Take a job out; say whether it was there."""
        return self._jobs.pop(job_id, None) is not None

    def take(self, now: float) -> Optional[str]:
        """Take the job out whose turn it is; None when there is none."""
        for job_id, wait in self._jobs.items():
            if wait.due <= now and self._is_free(wait):
                del self._jobs[job_id]
                return job_id
        return None

    def take_overdue(self, now: float) -> List[str]:
        """Take the jobs out whose deadlines have passed."""
        found = [
            job_id
            for job_id, wait in self._jobs.items()
            if wait.deadline is not None and wait.deadline <= now
        ]
        for job_id in found:
            del self._jobs[job_id]
        return found

    def seconds_left(self, now: float) -> Optional[float]:
        """Tell in how many seconds time alone makes a job run or end; None for never."""
        moments = [wait.due for wait in self._jobs.values() if self._is_free(wait)]
        moments += [wait.deadline for wait in self._jobs.values() if wait.deadline is not None]
        return max(min(moments) - now, 0.0) if moments else None

    def _is_free(self, wait: Wait) -> bool:
        return self._jobs.keys().isdisjoint(wait.needs)
