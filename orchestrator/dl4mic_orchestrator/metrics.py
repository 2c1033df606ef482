# SPDX-License-Identifier: BSD-3-Clause
"""Count and time what happens, for Prometheus. No label holds a job or a user: there are too many of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import product

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    start_http_server,
)

from dl4mic.v1.job_pb2 import Job, JobError, JobEvent
from dl4mic_orchestrator import steady
from dl4mic_orchestrator.gauges import PlaceGauges, StoreGauges, WorkerGauges
from dl4mic_orchestrator.gpu_time import GpuTime, Projects
from dl4mic_orchestrator.records import Gpu, Instance
from dl4mic_orchestrator.store import Store

_SECONDS = (0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 12 * 3600, 48 * 3600)
_CALL_SECONDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 30)
_VERBS = tuple(field.name for field in Job.DESCRIPTOR.oneofs_by_name["request"].fields)
_KINDS = tuple(field.name for field in JobEvent.DESCRIPTOR.oneofs_by_name["event"].fields)
_ERRORS = tuple(name for name, code in JobError.Code.items() if code)
_ENDS = (
    ("SUCCEEDED", ""),
    ("CANCELLED", "CANCELLED"),
    *(("FAILED", name) for name in _ERRORS if name != "CANCELLED"),
)
"""State and error with which a job may end."""

_LOSSES = {"loss": "training", "val_loss": "validation"}


class Metrics:
    """The metrics of one orchestrator.

    Parameters
    ----------
    store
        Is asked for what waits and runs whenever Prometheus asks.
    networks
        Names of those that are counted from the start, at zero.

    Attributes
    ----------
    port
        Where they are served by HTTP; None while they are not.
    """

    def __init__(self, store: Store, networks: Sequence[str] = ()) -> None:
        self.registry = CollectorRegistry()
        self.port: int | None = None
        ProcessCollector(registry=self.registry)
        self._signs: dict[str, float] = {}
        self._checkpoints: dict[str, float] = {}
        self._reported: dict[tuple[str, str], float] = {}
        self._workers = WorkerGauges()
        projects = Projects()
        self._gpu_time = GpuTime(store, projects)
        for collector in (StoreGauges(store, networks, projects), self._workers, self._gpu_time):
            self.registry.register(collector)
        self._age(
            "dl4mic_oldest_heartbeat_seconds", "Longest silence of a running job.", self._signs
        )
        self._age("dl4mic_oldest_checkpoint_seconds", "Most work at stake.", self._checkpoints)
        self._make_counters()
        self._make_histograms()
        self._begin_at_zero(networks)
        self._loss = Gauge(
            "dl4mic_training_loss", "Newest report.", ["network", "set"], registry=self.registry
        )

    def _make_counters(self) -> None:
        count = self._count
        labels = ["network", "verb", "state", "error"]
        self._ended = count("dl4mic_jobs_ended", "Jobs that have ended.", labels)
        labels = ["network", "error"]
        self._failed = count("dl4mic_attempts_failed", "Attempts that failed.", labels)
        self._events = count("dl4mic_events", "Events of instances.", ["network", "kind"])
        self._images = count("dl4mic_images", "Images that were predicted.", ["network"])
        self._pixels = count("dl4mic_pixels", "Pixels that were predicted.", ["network"])
        self._answered = count("dl4mic_calls", "Calls that were answered.", ["method", "code"])
        labels = ["verb", "kind", "code"]
        self._asked = count("dl4mic_cluster_calls", "Calls of the cluster's API server.", labels)

    def _begin_at_zero(self, networks: Sequence[str]) -> None:
        """Show what may be counted before it happens: a series that begins at 8 has not grown, to Prometheus."""
        for network in networks:
            for each in (self._images, self._pixels, self._start_up):
                each.labels(network)
            for kind in _KINDS:
                self._events.labels(network, kind)
            for error in _ERRORS:
                self._failed.labels(network, error)
            for verb in _VERBS:
                self._wait.labels(network, verb)
                self._run.labels(network, verb)
            for verb, (state, error) in product(_VERBS, _ENDS):
                self._ended.labels(network, verb, state, error)

    def _make_histograms(self) -> None:
        verb = ["network", "verb"]
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
        self._pass = self._time("dl4mic_pass_seconds", "Passes over the jobs.", [], _CALL_SECONDS)

    def observe(
        self,
        gpus: Callable[[], Sequence[Gpu]],
        free_bytes: Callable[[], int],
        callers: Callable[[], int],
    ) -> None:
        """Show also the GPUs that there are, the room in the workspace and the calls that are being answered."""
        self.registry.register(PlaceGauges(gpus, free_bytes))
        words = "Calls that are being answered, watches among them."
        Gauge("dl4mic_calls_open", words, registry=self.registry).set_function(callers)

    def event(self, job_id: str, network: str, event: JobEvent) -> None:
        """Count an event of an instance."""
        kind = event.WhichOneof("event") or "none"
        self._events.labels(network, kind).inc()
        self._signs[job_id] = time.time()
        if kind == "heartbeat":
            self._workers.signs[job_id] = (network, event.heartbeat)
        if kind == "checkpoint" or job_id not in self._checkpoints:
            self._checkpoints[job_id] = time.time()
        if kind == "progress" and event.progress.phase.startswith("predicting"):
            grown = self._growth(job_id, "images", event.progress.done)
            self._images.labels(network).inc(grown)
        if kind == "metric":
            self._measured(job_id, network, event)

    def _measured(self, job_id: str, network: str, event: JobEvent) -> None:
        name, value = event.metric.name, event.metric.value
        if name == "pixels":
            self._pixels.labels(network).inc(self._growth(job_id, name, value))
        if name in _LOSSES:
            self._loss.labels(network, _LOSSES[name]).set(value)

    def _growth(self, job_id: str, name: str, value: float) -> float:
        """Tell by how much a job's figure has grown; its first one is where it begins, perhaps in the middle."""
        before = self._reported.get((job_id, name), value)
        self._reported[(job_id, name)] = value
        return max(value - before, 0.0)

    def freed(self, instance: Instance, job: Job) -> None:
        """Account for an instance that has given its place back."""
        self._gpu_time.freed(instance)
        if job.HasField("start_time"):
            held = steady.now() - instance.create_time
            ran = time.time() - job.start_time.ToNanoseconds() / 1e9
            self._start_up.labels(instance.network).observe(max(held - ran, 0.0))

    def silent(self, job_id: str) -> None:
        """Expect no more signs of life of a job."""
        for about in (self._signs, self._checkpoints, self._workers.signs):
            about.pop(job_id, None)
        for name in ("images", "pixels"):
            self._reported.pop((job_id, name), None)

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

    def called(self, method: str, code: str, seconds: float) -> None:
        """Time a call of the API."""
        name = method.rpartition("/")[2]
        self._answered.labels(name, code).inc()
        self._calls.labels(name).observe(seconds)

    def passed(self, seconds: float) -> None:
        """Time a pass over all jobs: look, plan, act."""
        self._pass.observe(seconds)

    def asked_cluster(self, verb: str, kind: str, status: int) -> None:
        """Count a call of the cluster's API server; its HTTP status is 0 when there was no answer."""
        self._asked.labels(verb, kind, str(status)).inc()

    def serve(self, port: int) -> int:
        """Serve the metrics by HTTP, on all addresses of this machine; return the port."""
        server, _ = start_http_server(port, registry=self.registry)
        self.port = int(server.server_port)
        return self.port

    def _count(self, name: str, words: str, labels: list[str]) -> Counter:
        return Counter(name, words, labels, registry=self.registry)

    def _time(
        self, name: str, words: str, labels: list[str], buckets: tuple[float, ...] = _SECONDS
    ) -> Histogram:
        return Histogram(name, words, labels, buckets=buckets, registry=self.registry)

    def _age(self, name: str, words: str, moments: dict[str, float]) -> None:
        def oldest() -> float:
            known = list(moments.values())
            return max(time.time() - min(known), 0.0) if known else 0.0

        Gauge(name, words, registry=self.registry).set_function(oldest)
