# SPDX-License-Identifier: BSD-3-Clause
"""The orchestrator's core by itself: ``core.py [passes] [calls] [memory]``; all three without an argument.

passes: decisions per second of one pass over a queue, the first (which writes every reason down) and the next.
calls: milliseconds until `Train` is accepted, with its commit, and of a `GetJob`, through gRPC.
memory: resident memory while thousands of jobs, each worked for to its published model, come and go.
Services are played: they succeed as soon as they are called.
"""

from __future__ import annotations

import json
import logging
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import grpc

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from dl4mic.locations import Locations  # noqa: E402
from dl4mic.manifest import read_service  # noqa: E402
from dl4mic.server import channel_target, listen  # noqa: E402
from dl4mic.v1.job_pb2 import GetJobRequest, Job, JobError, JobEvent  # noqa: E402
from dl4mic.v1.job_pb2_grpc import JobServiceStub, add_JobServiceServicer_to_server  # noqa: E402
from dl4mic.v1.network_pb2_grpc import (  # noqa: E402
    NetworkServiceStub,
    add_NetworkServiceServicer_to_server,
)
from dl4mic.v1.request_pb2 import JobOptions, TrainRequest  # noqa: E402
from dl4mic_orchestrator.api.job import JobApi  # noqa: E402
from dl4mic_orchestrator.api.network import Admission, NetworkApi  # noqa: E402
from dl4mic_orchestrator.attempt import Attempts  # noqa: E402
from dl4mic_orchestrator.backends.base import LaunchSpec, Probe, State  # noqa: E402
from dl4mic_orchestrator.briefing import Briefing  # noqa: E402
from dl4mic_orchestrator.catalog import Catalog  # noqa: E402
from dl4mic_orchestrator.follow import Patience  # noqa: E402
from dl4mic_orchestrator.metrics import Metrics  # noqa: E402
from dl4mic_orchestrator.plan import Limits  # noqa: E402
from dl4mic_orchestrator.reconcile import Reconciler  # noqa: E402
from dl4mic_orchestrator.records import Allowance, Capacity  # noqa: E402
from dl4mic_orchestrator.registry import BentoContent, Registry  # noqa: E402
from dl4mic_orchestrator.settle import Settlement  # noqa: E402
from dl4mic_orchestrator.store import Store  # noqa: E402

CATALOG = Catalog([read_service(ROOT / "tests" / "fakes" / "blur")])
SIZES = (100, 1_000, 10_000, 50_000)
CALLS = 500
JOBS = 10_000
AT_ONCE = 50


class Wishes:
    """Of warm instances there are none."""

    def __init__(self) -> None:
        self.wake = threading.Event()
        self.busy = False

    def wishes(self) -> list:
        return []

    def idle(self) -> list:
        return []


class Eager:
    """A backend, a data check and a way to reach services, all of which succeed at once."""

    def __init__(self, jobs: Path) -> None:
        self._jobs = jobs

    def prepare(self, service: object, progress: object) -> None:
        """Have all that is needed."""

    def run(self, folder: Path, progress: object) -> JobError | None:
        """Find nothing wrong."""

    def launch(self, spec: LaunchSpec, save: Callable[[State], None]) -> State:
        state = {"id": spec.instance_id}
        save(state)
        return state

    def probe(self, states: Sequence[State]) -> list[Probe]:
        return [Probe(True, state["id"], "here") for state in states]

    def stop(self, state: State, grace_seconds: float) -> None:
        """Leave nothing."""

    def capacity(self) -> Capacity:
        return Capacity(cpus=4, memory_bytes=8 << 30)

    def await_serving(self, address: str, give_up: object, seconds: float) -> None:
        """Serve."""

    @contextmanager
    def dial(self, address: str) -> Iterator[Eager]:
        yield self

    def assign(self, request: TrainRequest) -> None:
        """Train, with a few events and a small model."""
        folder = self._jobs / request.options.job_id / "1"
        (folder / "artifacts" / "model").mkdir(parents=True)
        record = {"network": "blur", "parameters": {}, "weights": ["best"]}
        (folder / "artifacts" / "model" / "model.json").write_text(json.dumps(record))
        states = ["RUNNING", *(["SUCCEEDED"])]
        lines = [
            {"sequence": n, "attempt": 1, "state": {"state": s}} for n, s in enumerate(states, 1)
        ]
        (folder / "events.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    @contextmanager
    def watch(self, job_id: str, after: int) -> Iterator[Iterator[list[JobEvent]]]:
        running = JobEvent(sequence=1, attempt=1)
        running.state.state = Job.RUNNING
        ended = JobEvent(sequence=2, attempt=1)
        ended.state.state = Job.SUCCEEDED
        yield iter([[running, ended]])

    def cancel(self, job_id: str) -> None:
        """Be done already."""


class Core:
    """Store, registry and reconciler over a folder."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        self.jobs = folder / "jobs"
        self.jobs.mkdir()
        self.store = Store(folder / "store.sqlite")
        self.registry = Registry(self.store.models, BentoContent(folder / "models"))
        self.locations = Locations({}, folder / "uploads", lambda job_id: self.jobs / job_id)
        eager = Eager(self.jobs)
        metrics = Metrics(self.store)
        briefing = Briefing(self.store.jobs, self.registry, CATALOG, self.locations, self.jobs)
        settlement = Settlement(self.store.jobs, self.registry, briefing, metrics)
        attempts = Attempts(
            store=self.store, backend=eager, catalog=CATALOG, briefing=briefing, data_check=eager, dialler=eager,
            settlement=settlement, patience=Patience(180, 45), start_seconds=60, meter=metrics,
        )  # fmt: skip
        self.reconciler = Reconciler(
            self.store, eager, CATALOG, attempts, settlement, Wishes(), limits
        )

    def create(self, number: int) -> None:
        job = Job(id=f"j{number}", network="blur", project=f"p{number % 10}")
        job.train.network, job.train.model, job.train.data.source = "blur", f"m{number % 100}", "/"
        self.store.jobs.create(job)


def passes() -> None:
    """Time passes over queues in which nothing can go on: every decision is a reason to wait."""
    print("jobs queued | first pass, s | decisions/s | next pass, s | decisions/s")
    for size in SIZES:
        with core(Limits(preparing=0, projects={"*": Allowance(running=0)})) as under_test:
            fill(under_test, size)
            first, again = (timed(under_test.reconciler.step) for _ in range(2))
            print(
                f"{size:11} | {first:13.3f} | {size / first:11.0f} | {again:12.3f} | {size / again:11.0f}"
            )


def fill(under_test: Core, size: int) -> None:
    """Queue jobs, half of them prepared, in ten projects."""
    for number in range(size):
        under_test.create(number)
        if number % 2:
            under_test.store.jobs.mark_prepared(f"j{number}", 1)


def calls() -> None:
    """Time calls through gRPC, one after the other; the store's commits reach the disk."""
    with core(Limits(), on_disk=True) as under_test:
        folder = under_test.jobs.parent
        admission = Admission(
            CATALOG, under_test.store.jobs, under_test.registry, under_test.locations,
            lambda: Capacity(4, 8 << 30), folder, 0, Limits().of_project, lambda project: 0,
        )  # fmt: skip
        servicers = {
            add_NetworkServiceServicer_to_server: NetworkApi(admission, None, lambda: None),
            add_JobServiceServicer_to_server: JobApi(
                under_test.store.jobs, under_test.jobs, lambda: None, lambda job_id: []
            ),
        }
        server = listen(f"unix://{folder}/s", servicers)
        with grpc.insecure_channel(channel_target(server.address)) as channel:
            networks, jobs = NetworkServiceStub(channel), JobServiceStub(channel)
            print(f"Train, ms: {percentiles(lambda n: networks.Train(request(n, folder)))}")
            print(
                f"GetJob, ms: {percentiles(lambda n: jobs.GetJob(GetJobRequest(job_id=f'j{n}')))}"
            )
        server.server.stop(None)


def request(number: int, folder: Path) -> TrainRequest:
    train = TrainRequest(network="blur", model="m", options=JobOptions(job_id=f"j{number}"))
    train.data.source = train.data.target = str(folder)
    return train


def percentiles(call: Callable[[int], object]) -> str:
    times = sorted(timed(lambda n=n: call(n)) * 1000 for n in range(CALLS))
    return f"p50 {times[CALLS // 2]:.1f}, p99 {times[int(CALLS * 0.99)]:.1f}"


def memory() -> None:
    """Let jobs come, be worked for, and end; say what the process holds after every thousand."""
    print("jobs ended | resident, MiB")
    with core(Limits(preparing=4)) as under_test:
        threading.Thread(target=under_test.reconciler.run, daemon=True).start()
        for ended in range(0, JOBS, AT_ONCE):
            for number in range(ended, ended + AT_ONCE):
                under_test.create(number)
            while under_test.store.jobs.open_jobs():
                under_test.reconciler.wake()
                time.sleep(0.02)
            if (ended + AT_ONCE) % 1000 == 0:
                print(f"{ended + AT_ONCE:10} | {resident_mib():.1f}", flush=True)
        under_test.reconciler.stop()


@contextmanager
def core(limits: Limits, *, on_disk: bool = False) -> Iterator[Core]:
    """Make a core over a folder, in memory where what is measured is not the disk."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(
        dir=shared if shared.is_dir() and not on_disk else None
    ) as folder:
        under_test = Core(Path(folder), limits)
        yield under_test
        under_test.store.close()


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    for name in sys.argv[1:] or ("passes", "calls", "memory"):
        {"passes": passes, "calls": calls, "memory": memory}[name]()
