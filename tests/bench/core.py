# SPDX-License-Identifier: BSD-3-Clause
"""The orchestrator's core by itself: ``core.py [--postgresql] [passes] [calls] [crowd] [memory]``; all without a name.

passes: decisions per second of one pass over a queue, the first (which writes every reason down) and the next.
calls: milliseconds until `Train` is accepted, with its commit, and of a `GetJob`, through gRPC.
crowd: jobs that are accepted per second from eight clients at once, over loopback, and milliseconds for each.
memory: resident memory while thousands of jobs, each worked for to its published model, come and go.
Services are played: they succeed as soon as they are called. The store is SQLite, or a PostgreSQL that is begun here.
"""

from __future__ import annotations

import json
import logging
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path

import grpc

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

import postgresql  # noqa: E402

from dl4mic.locations import Locations  # noqa: E402
from dl4mic.manifest import read_service  # noqa: E402
from dl4mic.server import listen  # noqa: E402
from dl4mic.v1.job_pb2 import GetJobRequest, Job, JobError, JobEvent  # noqa: E402
from dl4mic.v1.job_pb2_grpc import JobServiceStub, add_JobServiceServicer_to_server  # noqa: E402
from dl4mic.v1.network_pb2_grpc import (  # noqa: E402
    NetworkServiceStub,
    add_NetworkServiceServicer_to_server,
)
from dl4mic.v1.request_pb2 import JobOptions, TrainRequest  # noqa: E402
from dl4mic_orchestrator.api.job import JobApi  # noqa: E402
from dl4mic_orchestrator.api.network import Admission, NetworkApi  # noqa: E402
from dl4mic_orchestrator.api.room import Room  # noqa: E402
from dl4mic_orchestrator.attempt import Attempts  # noqa: E402
from dl4mic_orchestrator.backends.base import LaunchSpec, Probe, State  # noqa: E402
from dl4mic_orchestrator.briefing import Briefing  # noqa: E402
from dl4mic_orchestrator.catalog import Catalog  # noqa: E402
from dl4mic_orchestrator.follow import Patience  # noqa: E402
from dl4mic_orchestrator.front.tokens import Identity  # noqa: E402
from dl4mic_orchestrator.metrics import Metrics  # noqa: E402
from dl4mic_orchestrator.reconcile import Reconciler  # noqa: E402
from dl4mic_orchestrator.records import Allowance, Capacity  # noqa: E402
from dl4mic_orchestrator.registry import BentoContent, Registry  # noqa: E402
from dl4mic_orchestrator.settle import Settlement  # noqa: E402
from dl4mic_orchestrator.snapshot import Limits  # noqa: E402
from dl4mic_orchestrator.store import Store  # noqa: E402
from dl4mic_orchestrator.trash import JobFolders  # noqa: E402

CATALOG = Catalog([read_service(ROOT / "tests" / "fakes" / "blur")])
SIZES = (100, 1_000, 10_000, 50_000)
CALLS = 500
CLIENTS = 8
JOBS = 10_000
AT_ONCE = 50


Place = Callable[[Path], Path | str]
"""Folder -> where the store is."""


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

    def sweep(self, known: object) -> None:
        """Have left nothing."""

    def await_serving(self, address: str, give_up: object, seconds: float) -> None:
        """Serve."""

    @contextmanager
    def dial(self, address: str, token: object) -> Iterator[Eager]:
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

    def __init__(self, folder: Path, limits: Limits, place: Place) -> None:
        self.jobs = folder / "jobs"
        self.jobs.mkdir()
        self.store = Store(place(folder))
        self.registry = Registry(self.store.models, BentoContent(folder / "models"))
        self.locations = Locations(
            {"lab": folder}, folder / "uploads", lambda job_id: self.jobs / job_id
        )
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


def passes(place: Place) -> None:
    """Time passes over queues in which nothing can go on: every decision is a reason to wait."""
    print("jobs queued | first pass, s | decisions/s | next pass, s | decisions/s")
    for size in SIZES:
        with core(place, Limits(preparing=0, projects={"*": Allowance(running=0)})) as under_test:
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


def calls(place: Place) -> None:
    """Time calls through gRPC, one after the other; the store's commits reach the disk."""
    with (
        core(place, Limits(), on_disk=True) as under_test,
        served(under_test) as address,
        grpc.insecure_channel(address) as channel,
    ):
        train, get = NetworkServiceStub(channel).Train, JobServiceStub(channel).GetJob
        print(f"Train, ms: {percentiles(lambda n: train(request(n)))}")
        print(f"GetJob, ms: {percentiles(lambda n: get(GetJobRequest(job_id=f'j{n}')))}")


def crowd(place: Place) -> None:
    """Time calls of several clients at once, each with a channel of its own, all in a process of their own."""
    with core(place, Limits(), on_disk=True) as under_test, served(under_test) as address:
        with ProcessPoolExecutor(1, get_context("spawn")) as elsewhere:
            elsewhere.submit(int).result()
            cpu, began = time.process_time(), time.perf_counter()
            times = elsewhere.submit(send_all, address).result()
            seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
        rate, work = len(times) / seconds, cpu / len(times) * 1000
        print(f"{rate:.0f} jobs/s; CPU {work:.1f} ms a job; Train, ms: {percentiles_of(times)}")


def send_all(address: str) -> list[float]:
    """Send jobs from several clients at once; give the seconds that each took."""

    def send(client: int) -> list[float]:
        with grpc.insecure_channel(address, [("client", client)]) as channel:
            train = NetworkServiceStub(channel).Train
            numbers = range(client * CALLS, (client + 1) * CALLS)
            return [timed(lambda n=n: train(request(n))) for n in numbers]

    with ThreadPoolExecutor(CLIENTS) as clients:
        return [each for sent in clients.map(send, range(CLIENTS)) for each in sent]


@contextmanager
def served(under_test: Core) -> Iterator[str]:
    """Answer calls over loopback; give what to dial."""
    folder = under_test.jobs.parent
    folders = JobFolders(under_test.store.jobs, under_test.jobs)
    room = Room(folder, 0, Limits().of_project, lambda project: 0)
    admission = Admission(
        CATALOG, under_test.store.jobs, folders, under_test.registry, under_test.locations,
        lambda: Capacity(4, 8 << 30), room,
    )  # fmt: skip
    servicers = {
        add_NetworkServiceServicer_to_server: NetworkApi(
            admission, None, lambda: None, lambda context: Identity("bench")
        ),
        add_JobServiceServicer_to_server: JobApi(
            under_test.store.jobs, folders, room, lambda: None, lambda job_id: []
        ),
    }
    server = listen("localhost:0", servicers)
    yield server.address
    server.server.stop(None)


def request(number: int) -> TrainRequest:
    train = TrainRequest(network="blur", model="m", options=JobOptions(job_id=f"j{number}"))
    train.data.source = train.data.target = "lab:jobs"
    return train


def percentiles(call: Callable[[int], object]) -> str:
    return percentiles_of([timed(lambda n=n: call(n)) for n in range(CALLS)])


def percentiles_of(times: Sequence[float]) -> str:
    ordered = sorted(time * 1000 for time in times)
    p50, p99 = (ordered[int(len(ordered) * share)] for share in (0.5, 0.99))
    return f"p50 {p50:.1f}, p99 {p99:.1f}"


def memory(place: Place) -> None:
    """Let jobs come, be worked for, and end; say what the process holds after every thousand."""
    print("jobs ended | resident, MiB")
    with core(place, Limits(preparing=4)) as under_test:
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
def core(place: Place, limits: Limits, *, on_disk: bool = False) -> Iterator[Core]:
    """Make a core over a folder, in memory where what is measured is not the disk."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(
        dir=shared if shared.is_dir() and not on_disk else None
    ) as folder:
        under_test = Core(Path(folder), limits, place)
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
    measures = {"passes": passes, "calls": calls, "crowd": crowd, "memory": memory}
    asked = [measures[name] for name in sys.argv[1:] if name in measures] or measures.values()
    if "--postgresql" in sys.argv:
        with postgresql.running() as database:
            for measure in asked:
                measure(lambda folder: database.new_url())
    else:
        for measure in asked:
            measure(lambda folder: folder / "store.sqlite")
