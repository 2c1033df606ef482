# SPDX-License-Identifier: BSD-3-Clause
"""Count and time what happens, for Prometheus. No label holds a job or a user: there are too many of them."""

from __future__ import annotations

import threading
import time
from collections import Counter as Tally
from collections.abc import Callable, Iterator
from typing import Any

import grpc
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from dl4mic.v1.job_pb2 import Job, JobError, JobEvent
from dl4mic_orchestrator.records import JobState
from dl4mic_orchestrator.store import Store

_SECONDS = (0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 12 * 3600, 48 * 3600)
_CALL_SECONDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 30)


class Metrics:
    """The metrics of one orchestrator."""

    def __init__(self, store: Store) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(_StoreCollector(store))
        kind = ["network", "verb"]
        self._ended = Counter(
            "dl4mic_jobs_ended",
            "Jobs that have ended.",
            [*kind, "state", "error"],
            registry=self.registry,
        )
        self._wait = self._seconds("dl4mic_job_wait_seconds", "From acceptance to running.")
        self._run = self._seconds(
            "dl4mic_job_run_seconds", "From running to the end, last attempt."
        )
        self._events = Counter(
            "dl4mic_events",
            "Events copied from instances.",
            ["network", "kind"],
            registry=self.registry,
        )
        self._memory = Gauge(
            "dl4mic_worker_memory_bytes",
            "Newest report of a worker.",
            ["network"],
            registry=self.registry,
        )
        self._calls = Histogram(
            "dl4mic_call_seconds",
            "Answered calls of the API.",
            ["method"],
            buckets=_CALL_SECONDS,
            registry=self.registry,
        )

    def event(self, network: str, event: JobEvent) -> None:
        """Count an event of an instance."""
        kind = event.WhichOneof("event") or "none"
        self._events.labels(network, kind).inc()
        if kind == "heartbeat":
            self._memory.labels(network).set(event.heartbeat.memory_bytes)

    def ended(self, job: Job) -> None:
        """Count a job that has ended."""
        verb = job.WhichOneof("request") or "none"
        error = JobError.Code.Name(job.error.code) if job.HasField("error") else ""
        self._ended.labels(job.network, verb, Job.State.Name(job.state), error).inc()
        if job.HasField("start_time"):
            started = job.start_time.ToNanoseconds()
            self._wait.labels(job.network, verb).observe(
                (started - job.create_time.ToNanoseconds()) / 1e9
            )
            self._run.labels(job.network, verb).observe(
                (job.end_time.ToNanoseconds() - started) / 1e9
            )

    def called(self, method: str, seconds: float) -> None:
        """Time a call of the API."""
        self._calls.labels(method.rpartition("/")[2]).observe(seconds)

    def serve(self, port: int) -> int:
        """Serve the metrics by HTTP; return the port."""
        server, _ = start_http_server(port, registry=self.registry)
        return int(server.server_port)

    def _seconds(self, name: str, words: str) -> Histogram:
        return Histogram(name, words, ["network", "verb"], buckets=_SECONDS, registry=self.registry)


class _StoreCollector(Collector):
    """Reads what is, rather than what happened, from the store when it is asked."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def collect(self) -> Iterator[GaugeMetricFamily]:
        jobs = self._store.jobs.open_jobs()
        depth = GaugeMetricFamily(
            "dl4mic_open_jobs", "Jobs that have not ended.", labels=["network", "state"]
        )
        for (network, state), count in Tally((job.network, job.state) for job in jobs).items():
            depth.add_metric([network, state.name], count)
        yield depth
        yield self._age(
            "dl4mic_oldest_pending_seconds", "Age of the oldest waiting job.", JobState.PENDING
        )
        used = GaugeMetricFamily(
            "dl4mic_gpus_in_use", "GPUs given to instances.", labels=["project", "network"]
        )
        instances = self._store.instances.all()
        for (project, network), count in _gpus(instances).items():
            used.add_metric([project, network], count)
        yield used

    def _age(self, name: str, words: str, state: JobState) -> GaugeMetricFamily:
        waiting = [job.id for job in self._store.jobs.open_jobs() if job.state is state]
        created = [
            self._store.jobs.message(job_id).create_time.ToNanoseconds() / 1e9
            for job_id in waiting[:1]
        ]
        return GaugeMetricFamily(name, words, value=time.time() - created[0] if created else 0.0)


def _gpus(instances: list[Any]) -> Tally[tuple[str, str]]:
    tally: Tally[tuple[str, str]] = Tally()
    for instance in instances:
        tally[(instance.project, instance.network)] += len(instance.grant.gpus)
    return tally


class Callers(grpc.ServerInterceptor):  # type: ignore[misc,type-arg]
    """Times calls, and knows whether anybody is calling: an embedded orchestrator ends when nobody does.

    Parameters
    ----------
    called
        Takes (method, seconds) of every call.
    """

    def __init__(self, called: Callable[[str, float], None]) -> None:
        self._called = called
        self._lock = threading.Lock()
        self._active = 0
        self.last_call = time.monotonic()

    @property
    def present(self) -> bool:
        """Say whether a call is being answered."""
        return self._active > 0

    def intercept_service(self, continuation: Callable[..., Any], details: Any) -> Any:
        """Wrap the behaviour of the call's handler."""
        handler = continuation(details)
        for kind in ("unary_unary", "stream_unary"):
            if handler is not None and getattr(handler, kind) is not None:
                return handler._replace(
                    **{kind: self._returning(getattr(handler, kind), details.method)}
                )
        for kind in ("unary_stream", "stream_stream"):
            if handler is not None and getattr(handler, kind) is not None:
                return handler._replace(
                    **{kind: self._yielding(getattr(handler, kind), details.method)}
                )
        return handler

    def _returning(self, behaviour: Callable[..., Any], method: str) -> Callable[..., Any]:
        def call(request: Any, context: grpc.ServicerContext) -> Any:
            began = self._begin()
            try:
                return behaviour(request, context)
            finally:
                self._end(method, began)

        return call

    def _yielding(self, behaviour: Callable[..., Any], method: str) -> Callable[..., Any]:
        def call(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
            began = self._begin()
            try:
                yield from behaviour(request, context)
            finally:
                self._end(method, began)

        return call

    def _begin(self) -> float:
        with self._lock:
            self._active += 1
        return time.monotonic()

    def _end(self, method: str, began: float) -> None:
        with self._lock:
            self._active -= 1
        self.last_call = time.monotonic()
        self._called(method, self.last_call - began)
