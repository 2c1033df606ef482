# SPDX-License-Identifier: BSD-3-Clause
"""Own what the plan looks at: jobs, instances, who waits for a warm one, and what the administrator allows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf

from dl4mic_orchestrator.records import Allowance, Capacity, Instance, Job, JobState, Needs, WarmKey


@dataclass(frozen=True, slots=True)
class WarmWish:
    """A caller waits for a warm instance of a service."""

    key: WarmKey
    needs: Needs
    service: str


@dataclass(frozen=True, slots=True)
class Idle:
    """A warm instance that answers nobody, since a time in seconds since 1970."""

    instance_id: str
    since: float


@dataclass(frozen=True, slots=True)
class Limits:
    """What the administrator allows.

    Attributes
    ----------
    preparing
        Data checks and environments made at once.
    warm_idle_seconds
        How long a warm instance is kept without images.
    warm_instances
        How many warm instances a service has at once, at most; a service that is missing has as many as there is room
        for.
    projects
        What each project may use; ``*`` stands for those that are not named.
    """

    preparing: int = 2
    warm_idle_seconds: float = 300.0
    warm_instances: Mapping[str, int] = field(default_factory=dict)
    projects: Mapping[str, Allowance] = field(default_factory=dict)

    def most_warm(self, service: str) -> float:
        """Tell how many warm instances a service may have."""
        return self.warm_instances.get(service, inf)

    def of_project(self, name: str) -> Allowance:
        """Tell what a project may use."""
        return self.projects.get(name) or self.projects.get(EVERY_PROJECT) or Allowance()


EVERY_PROJECT = "*"
"""Stands for the projects that have no limits of their own."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that the plan looks at.

    Attributes
    ----------
    now
        Seconds since 1970, by a clock that never jumps.
    jobs
        Those that have not ended.
    ended
        State of each ended job that an open one depends on; one that is missing was deleted.
    active
        Ids of the jobs that a thread works for.
    served
        By project, when it was last given a place, in seconds since 1970; a project that is missing never was.
    needs
        By network.
    """

    now: float
    capacity: Capacity
    jobs: Sequence[Job] = ()
    ended: Mapping[str, JobState] = field(default_factory=dict)
    active: frozenset[str] = frozenset()
    served: Mapping[str, float] = field(default_factory=dict)
    instances: Sequence[Instance] = ()
    idle: Sequence[Idle] = ()
    wishes: Sequence[WarmWish] = ()
    needs: Mapping[str, Needs] = field(default_factory=dict)
    limits: Limits = Limits()
