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
from dl4mic_orchestrator.records import Instance, JobState
from dl4mic_orchestrator.store import Store

_SECONDS = (0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 12 * 3600, 48 * 3600)
_CALL_SECONDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 30)


class Metrics:
    """The metrics of one orchestrator."""

    def __init__(self, store: Store) -> None:
        self.registry = CollectorRegistry()
        self._signs: dict[str, float] = {}
        self._checkpoints: dict[str, float] = {}
        self.registry.register(_StoreCollector(store))
        self._age(
            "dl4mic_oldest_heartbeat_seconds", "Longest silence of a running job.", self._signs
        )
        self._age("dl4mic_oldest_checkpoint_seconds", "Most work at stake.", self._checkpoints)
        verb = ["network", "verb"]
        self._ended = self._count(
            "dl4mic_jobs_ended", "Jobs that have ended.", [*verb, "state", "error"]
        )
        self._failed = self._count(
            "dl4mic_attempts_failed", "Attempts that failed.", ["network", "error"]
        )
        self._events = self._count("dl4mic_events", "Events of instances.", ["network", "kind"])
        self._gpu_seconds = self._count(
            "dl4mic_gpu_seconds", "GPUs given away, times seconds.", ["project", "network"]
        )
        self._wait = self._time("dl4mic_job_wait_seconds", "From acceptance to running.", verb)
        self._run = self._time(
            "dl4mic_job_run_seconds", "From running to the end, last attempt.", verb
        )
        self._start_up = self._time(
            "dl4mic_start_up_seconds", "From launch to running.", ["network"]
        )
        self._calls = self._time(
            "dl4mic_call_seconds", "Calls of the API.", ["method"], _CALL_SECONDS
        )
        self._memory = Gauge(
            "dl4mic_worker_memory_bytes", "Newest report.", ["network"], registry=self.registry
        )

    def event(self, job_id: str, network: str, event: JobEvent) -> None:
        """Count an event of an instance."""
        kind = event.WhichOneof("event") or "none"
        self._events.labels(network, kind).inc()
        self._signs[job_id] = time.time()
        if kind == "heartbeat":
            self._memory.labels(network).set(event.heartbeat.memory_bytes)
        if kind == "checkpoint" or job_id not in self._checkpoints:
            self._checkpoints[job_id] = time.time()

    def freed(self, instance: Instance, job: Job) -> None:
        """Account for an instance that has given its place back."""
        held = time.time() - instance.create_time
        self._gpu_seconds.labels(instance.project, instance.network).inc(
            held * len(instance.grant.gpus)
        )
        if job.HasField("start_time"):
            started = job.start_time.ToNanoseconds() / 1e9 - instance.create_time
            self._start_up.labels(instance.network).observe(max(started, 0.0))

    def silent(self, job_id: str) -> None:
        """Expect no more signs of life of a job."""
        self._signs.pop(job_id, None)
        self._checkpoints.pop(job_id, None)

    def failed(self, network: str, error: JobError) -> None:
        """Count an attempt that failed."""
        self._failed.labels(network, JobError.Code.Name(error.code)).inc()

    def ended(self, job: Job) -> None:
        """Count a job that has ended."""
        verb = job.WhichOneof("request") or "none"
        error = JobError.Code.Name(job.error.code) if job.HasField("error") else ""
        self._ended.labels(job.network, verb, Job.State.Name(job.state), error).inc()
        if job.HasField("start_time"):
            started = job.start_time.ToNanoseconds()
            waited = started - job.create_time.ToNanoseconds()
            self._wait.labels(job.network, verb).observe(waited / 1e9)
            ran = job.end_time.ToNanoseconds() - started
            self._run.labels(job.network, verb).observe(ran / 1e9)

    def called(self, method: str, seconds: float) -> None:
        """Time a call of the API."""
        self._calls.labels(method.rpartition("/")[2]).observe(seconds)

    def serve(self, port: int) -> int:
        """Serve the metrics by HTTP; return the port."""
        server, _ = start_http_server(port, registry=self.registry)
        return int(server.server_port)

    def _count(self, name: str, words: str, labels: list[str]) -> Counter:
        return Counter(name, words, labels, registry=self.registry)

    def _time(
        self, name: str, words: str, labels: list[str], buckets: tuple[float, ...] = _SECONDS
    ) -> Histogram:
        return Histogram(name, words, labels, buckets=buckets, registry=self.registry)

    def _age(self, name: str, words: str, moments: dict[str, float]) -> None:
        def oldest() -> float:
            known = list(moments.values())
            return time.time() - min(known) if known else 0.0

        Gauge(name, words, registry=self.registry).set_function(oldest)


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


def _gpus(instances: list[Instance]) -> Tally[tuple[str, str]]:
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
