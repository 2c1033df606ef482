# SPDX-License-Identifier: BSD-3-Clause
"""Account for the time for which projects hold GPUs, up to the moment when Prometheus asks."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress

from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from dl4mic_orchestrator import steady
from dl4mic_orchestrator.records import Instance
from dl4mic_orchestrator.store import Store, StoreAwayError

_MOST_PROJECTS = 100
"""Projects that have a figure of their own: where callers make their names up, there is no end of them."""


class Projects:
    """The projects that have a figure of their own, up to a bound; the first to come have one."""

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._lock = threading.Lock()

    def label(self, name: str) -> str:
        """Give the label under which a project is counted."""
        with self._lock:
            if name in self._known or len(self._known) < _MOST_PROJECTS:
                self._known.add(name)
                return name
            return "other"


class GpuTime(Collector):
    """GPUs that jobs hold, times seconds.

    What a job held before this orchestrator began is left out: the one before has counted it.
    """

    def __init__(self, store: Store, projects: Projects) -> None:
        self._store = store
        self._projects = projects
        self._began = steady.now()
        self._seconds: defaultdict[tuple[str, str], float] = defaultdict(float)
        self._shown: set[tuple[str, str]] = set()
        self._until: dict[str, float] = {}  # instance -> moment up to which it is counted
        self._lock = threading.Lock()

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Count up to now what is held still. A figure begins at 0: Prometheus sees none grow that begins."""
        words = "GPUs given to jobs, times seconds."
        family = CounterMetricFamily("dl4mic_gpu_seconds", words, labels=["project", "network"])
        with self._lock:
            # While the store is away, what grows meanwhile is counted when it is back.
            with suppress(StoreAwayError):
                for instance in self._store.instances.all():
                    self._count(instance)
            for labels, seconds in self._seconds.items():
                family.add_metric(labels, seconds if labels in self._shown else 0.0)
            self._shown.update(self._seconds)
        yield family

    def freed(self, instance: Instance) -> None:
        """Count the last of an instance, whose row is gone."""
        with self._lock:
            self._count(instance)
            self._until.pop(instance.id, None)

    def _count(self, instance: Instance) -> None:
        """Count what has not been counted of an instance; a warm one belongs to no project."""
        if not (instance.job_id and instance.place and instance.grant.gpus):
            return
        now = steady.now()
        since = self._until.get(instance.id, max(self._began, instance.create_time))
        labels = (self._projects.label(instance.project), instance.network)
        self._seconds[labels] += max(now - since, 0.0) * len(instance.grant.gpus)
        self._until[instance.id] = now
