# SPDX-License-Identifier: BSD-3-Clause
"""Reads every event as it is committed, and holds what must be true of any job's record, whatever happened."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field

from dl4mic import fold
from dl4mic.v1.job_pb2 import Job, JobError, JobEvent

NEVER_AGAIN = {
    JobError.INVALID_INPUT,
    JobError.DEPENDENCY_FAILED,
    JobError.DEADLINE,
    JobError.CANCELLED,
    JobError.OUT_OF_MEMORY,
    JobError.DISK_FULL,
}
CRASHES = {JobError.CRASHED, JobError.UNRESPONSIVE, JobError.INTERNAL}
ALWAYS = {JobError.NODE_LOST, JobError.PREEMPTED}
"""The contract's retry table, written anew: the one in the contract's code is what is tested."""


@dataclass
class Story:
    """What was read of one job."""

    last: int = 0
    attempt: int = 1
    state: int = Job.PENDING
    progressed: bool = False
    crashes: list[bool] = field(default_factory=list)
    """Of each crash since the job was made or opened by hand: whether its attempt had left something."""

    ends: int = 0
    folded: Job = field(default_factory=Job)


class Chronicle:
    """All jobs' stories, read from the database beside the store."""

    def __init__(self, raw: sqlite3.Connection) -> None:
        self._raw = raw
        self._row = 0
        self.stories: dict[str, Story] = {}

    def read_on(self) -> None:
        """Take what was committed since, and check it."""
        query = "SELECT number, job_id, message FROM told WHERE number > ? ORDER BY number"
        for row, job_id, message in self._raw.execute(query, (self._row,)).fetchall():
            self._row = row
            story = self.stories.setdefault(job_id, Story())
            if message is None:  # it was deleted: the next job of its id begins anew
                self.stories[job_id] = Story(ends=story.ends)
            else:
                self._take(story, JobEvent.FromString(message))

    def check_fold(self) -> None:
        """Check that what callers see of a job is its events and nothing else."""
        for job_id, message in self._raw.execute("SELECT id, message FROM jobs"):
            seen, folded = Job.FromString(message), self.stories[job_id].folded
            for name in ("state", "attempt", "last_sequence", "model", "waiting_reason"):
                assert getattr(seen, name) == getattr(folded, name), (job_id, name)
            assert (seen.error, list(seen.artifacts)) == (folded.error, list(folded.artifacts))

    def _take(self, story: Story, event: JobEvent) -> None:
        # Events are numbered 1, 2, 3 ...
        assert event.sequence == story.last + 1, (story, event)
        story.last = event.sequence
        if event.WhichOneof("event") == "state":
            self._take_state(story, event)
        else:
            assert event.attempt == story.attempt and story.state not in fold.ENDED, (story, event)
        kind = event.WhichOneof("event")
        story.progressed |= kind == "checkpoint"
        story.folded.attempt = story.folded.attempt or 1
        fold.apply(story.folded, event)

    def _take_state(self, story: Story, event: JobEvent) -> None:
        state = event.state.state
        if event.attempt != story.attempt:
            # Attempts are numbered without gaps, and each begins by waiting.
            assert (event.attempt, state) == (story.attempt + 1, Job.PENDING), (story, event)
            self._take_attempt(story, event)
        else:
            # One end: from there only a new attempt leads on.
            assert story.state not in fold.ENDED, (story, event)
        story.attempt, story.state = event.attempt, state
        if state in fold.ENDED:
            story.ends += 1
            self._take_end(story, event.state.error.code)

    def _take_attempt(self, story: Story, event: JobEvent) -> None:
        # What succeeded stays so.
        assert story.state != Job.SUCCEEDED, (story, event)
        if story.state in fold.ENDED:
            story.crashes = []
        else:
            code = event.state.error.code
            assert code not in NEVER_AGAIN and code, (story, event)
            if code in CRASHES:
                story.crashes.append(story.progressed)
                assert len(story.crashes) < 3, (story, event)
                assert len(story.crashes) == 1 or story.progressed, (story, event)
        story.progressed = False

    def _take_end(self, story: Story, code: int) -> None:
        state = story.state
        assert (state == Job.SUCCEEDED) == (code == 0), (story, code)
        assert (state == Job.CANCELLED) == (code == JobError.CANCELLED), (story, code)
        # No job is given up that the table would try again.
        assert code not in ALWAYS, (story, code)
        if code in CRASHES:
            assert len(story.crashes) == 2 or (story.crashes and not story.progressed), (
                story,
                code,
            )
