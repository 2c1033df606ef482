# SPDX-License-Identifier: BSD-3-Clause
"""An orchestrator's core over a store, with everything around it played: clock, services, backend, file of models.

The core (plan, reconciler, attempts, follower, settlement, store) is the real one. Its threads are fibers, which pause
before every transaction that writes and in every call of the world, and can be killed there.
"""

from __future__ import annotations

import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from scripted_service import Service
from servers import FAKES
from sqlalchemy.exc import OperationalError

from dl4mic.locations import Locations
from dl4mic.manifest import read_service
from dl4mic.v1.job_pb2 import Job, JobError, JobEvent
from dl4mic_orchestrator import arrival, follow, reconcile, steady
from dl4mic_orchestrator.attempt import Attempts
from dl4mic_orchestrator.backends.base import LaunchSpec, Probe, State, UnavailableError
from dl4mic_orchestrator.briefing import Briefing
from dl4mic_orchestrator.catalog import Catalog
from dl4mic_orchestrator.dial import NotServingError
from dl4mic_orchestrator.follow import Patience
from dl4mic_orchestrator.reconcile import Reconciler
from dl4mic_orchestrator.records import Capacity
from dl4mic_orchestrator.registry import Registry
from dl4mic_orchestrator.settle import Settlement
from dl4mic_orchestrator.snapshot import Limits
from dl4mic_orchestrator.store import Store
from dl4mic_orchestrator.store.database import Database
from dl4mic_orchestrator.trash import JobFolders

from .fibers import Fiber, current, pause

CATALOG = Catalog([read_service(FAKES / "blur")])
CAPACITY = Capacity(cpus=2, memory_bytes=4 << 30)
TELL = (
    "CREATE TABLE told (number INTEGER PRIMARY KEY AUTOINCREMENT, job_id, message)",
    "CREATE TRIGGER told_event AFTER INSERT ON events BEGIN "
    "INSERT INTO told (job_id, message) VALUES (new.job_id, new.message); END",
    "CREATE TRIGGER told_end AFTER DELETE ON jobs BEGIN INSERT INTO told (job_id) VALUES (old.id); END",
)
"""Keeps what was committed, in its order; without a message, the job was deleted."""

PATIENCE = Patience(heartbeat_seconds=180, cancel_seconds=45)


class PlayedTime:
    """Stands for the module `time`: it moves when it is told to."""

    def __init__(self) -> None:
        self._start = time.time()
        self._thread = threading.current_thread()
        self.passed = 0.0

    def time(self) -> float:
        return self._start + self.passed

    def monotonic(self) -> float:
        return self.passed

    def sleep(self, seconds: float) -> None:
        assert threading.current_thread() is self._thread, "another test has left a thread"
        self.passed += seconds
        pause("sleep")


class Wishes:
    """Of warm instances there are none."""

    def __init__(self) -> None:
        self.wake = threading.Event()
        self.busy = False

    def wishes(self) -> list:
        return []

    def idle(self) -> list:
        return []

    def knows(self, instance_id: str) -> bool:
        return False


class Meter:
    """Counts the ends of jobs."""

    def __init__(self) -> None:
        self.signs: set[str] = set()
        self.ends: list[str] = []

    def event(self, job_id: str, network: str, event: JobEvent) -> None:
        self.signs.add(job_id)

    def freed(self, instance: object, job: Job) -> None:
        pass

    def silent(self, job_id: str) -> None:
        self.signs.discard(job_id)

    def failed(self, network: str, error: JobError) -> None:
        pass

    def ended(self, job: Job) -> None:
        self.ends.append(job.id)


class Content:
    """A store of models in plain folders; a copy can be cut short by the end of the process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.fault = False

    def put(self, tag: str, folder: Path) -> Path:
        pause("put")
        shutil.rmtree(self.folder / tag, ignore_errors=True)
        (self.folder / tag).mkdir(parents=True)
        pause("half put")
        if self.fault:
            self.fault = False
            raise RuntimeError("the model store broke")
        shutil.copytree(folder, self.folder / tag, dirs_exist_ok=True)
        pause("put")
        return self.folder / tag

    def path(self, tag: str) -> Path:
        return self.folder / tag

    def delete(self, tag: str) -> None:
        shutil.rmtree(self.folder / tag, ignore_errors=True)


class World:
    """All that there is, for one schedule after another."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = Store(folder / "store.sqlite")
        self.raw = sqlite3.connect(folder / "store.sqlite", isolation_level=None)
        self.raw.execute("PRAGMA synchronous = OFF")
        for statement in TELL:
            self.raw.execute(statement)
        self.clean()

    def clean(self) -> None:
        """Begin anew."""
        for table in (
            "events",
            "jobs",
            "instances",
            "models",
            "model_versions",
            "job_labels",
            "told",
        ):
            self.raw.execute(f"DELETE FROM {table}")
        for name in ("jobs", "models", "trash"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
            (self.folder / name).mkdir()
        self.time = PlayedTime()
        self.services: dict[str, Service] = {}
        self.fibers: list[Fiber] = []
        self.loop: Fiber | None = None
        self.launched: list[str] = []
        self.next_launch = self.next_check = self.next_prepare = ""
        self.stop_faults = self.store_faults = 0
        self.lost: set[str] = set()
        self.meter = Meter()
        self.content = Content(self.folder / "models")
        self.boot()

    def boot(self) -> None:
        """Start an orchestrator over what is in the store."""
        jobs = self.folder / "jobs"
        self.folders = JobFolders(self.store.jobs, jobs)
        registry = Registry(self.store.models, self.content)
        locations = Locations(
            {}, self.folder / "uploads", lambda job_id: jobs / job_id / "artifacts"
        )
        briefing = Briefing(self.store.jobs, registry, CATALOG, locations, jobs)
        settlement = Settlement(self.store.jobs, registry, briefing, self.meter)
        attempts = Attempts(
            store=self.store, backend=self, catalog=CATALOG, briefing=briefing, data_check=Check(self), dialler=self,
            settlement=settlement, patience=PATIENCE, start_seconds=60, meter=self.meter,
        )  # fmt: skip
        self.warm = Wishes()
        self.reconciler = Reconciler(
            self.store, self, CATALOG, attempts, settlement, self.warm, Limits(), self.spawn
        )
        self.warm.wake.set()

    def kill(self) -> None:
        """Kill the orchestrator: each of its threads ends where it stands."""
        for fiber in [*self.fibers, *([self.loop] if self.loop else [])]:
            fiber.kill()
        self.fibers, self.loop = [], None

    def spawn(self, name: str, work: Callable[[], object]) -> None:
        self.fibers.append(Fiber(name, work))

    def turn(self, pauses: int) -> None:
        """Go on with the reconciler's pass, or begin one if somebody woke it."""
        if self.loop is None:
            self.warm.wake.clear()
            self.loop = Fiber("loop", self._turn)
        for _ in range(pauses):
            self.loop.resume()
            if self.loop.done:
                self.loop = None
                return

    def _turn(self) -> None:
        if self.reconciler.turn() <= 1.0:
            self.warm.wake.set()

    def run(self, which: int, pauses: int) -> None:
        """Go on with one of the threads."""
        if not self.fibers:
            return
        fiber = self.fibers[which % len(self.fibers)]
        for _ in range(pauses):
            fiber.resume()
            if fiber.done:
                self.fibers.remove(fiber)
                return

    # What a backend does.

    def prepare(self, service: object, progress: Any) -> None:
        progress.report("making the environment")
        pause("prepare")
        progress.check()
        if self.next_prepare:
            code, self.next_prepare = self.next_prepare, ""
            raise UnavailableError(code, "as the script has it", "")

    def launch(self, spec: LaunchSpec, save: Callable[[State], None]) -> State:
        save({"id": spec.instance_id})
        pause("launch")
        how, self.next_launch = self.next_launch, ""
        if how == "fails":
            raise UnavailableError("ENVIRONMENT_UNAVAILABLE", "as the script has it", "")
        job_id, _, number = spec.instance_id.rpartition("-")
        folder = self.folder / "jobs" / job_id / number
        service = Service(job_id, int(number), folder, serving=how != "mute", deaf=how == "deaf")
        service.launch = len(self.launched) + 1
        self.lost.discard(spec.instance_id)
        self.services[spec.instance_id] = service
        self.launched.append(spec.instance_id)
        pause("launched")
        if how == "breaks":
            raise OSError("as the script has it")
        state = {"id": spec.instance_id, "pid": len(self.launched)}
        save(state)
        return state

    def probe(self, states: Sequence[State]) -> list[Probe]:
        return [
            Probe(self._alive(state["id"]), state["id"], "here", state["id"] in self.lost)
            for state in states
        ]

    def stop(self, state: State, grace_seconds: float) -> None:
        pause("stop")
        if self.stop_faults:
            self.stop_faults -= 1
            raise OSError("as the script has it")
        service = self.services.get(state["id"])
        if service is not None:
            service.alive = False
        pause("stopped")

    def capacity(self) -> Capacity:
        return CAPACITY

    def sweep(self, known: Callable[[], object]) -> None:
        pass

    def _alive(self, instance_id: str) -> bool:
        service = self.services.get(instance_id)
        return service is not None and service.alive

    # What an instance is reached by.

    def await_serving(self, address: str, give_up: Callable[[], bool], seconds: float) -> None:
        end = self.time.passed + seconds
        while not (self._alive(address) and self.services[address].serving):
            if give_up() or self.time.passed > end:
                raise NotServingError("the service did not answer")
            self.time.sleep(0.5)
        pause("serving")

    @contextmanager
    def dial(self, address: str, token: Path | None) -> Iterator[Called]:
        yield Called(self, self.services[address])


class Check:
    """What the SDK's data check does."""

    def __init__(self, world: World) -> None:
        self._world = world

    def run(self, folder: Path, progress: Any) -> JobError | None:
        progress.report("checking the images")
        pause("check")
        progress.check()
        code, self._world.next_check = self._world.next_check, ""
        return JobError(code=code, message="as the script has it") if code else None


class Called:
    """The calls of a played service."""

    def __init__(self, world: World, service: Service) -> None:
        self._world = world
        self._service = service

    def assign(self, request: object) -> None:
        pause("assign")
        if not self._service.assigned and self._service.alive:
            self._service.assigned = True
            self._service.say_state("PENDING")
        pause("assigned")

    def cancel(self, job_id: str) -> None:
        pause("cancel")
        if not self._service.deaf and self._service.alive:
            self._service.end("CANCELLED", JobError.CANCELLED)

    @contextmanager
    def watch(self, job_id: str, after: int) -> Iterator[Iterator[list[JobEvent]]]:
        yield self._batches(after)

    def _batches(self, after: int) -> Iterator[list[JobEvent]]:
        service = self._service
        sent = 0
        while service.alive and service.stream != "broken":
            pause("watch")
            batch = [event for event in service.events[sent:] if event.sequence > after]
            if service.stream == "late" or not batch:
                self._world.time.passed += 0.5
                yield []
                continue
            sent = len(service.events)
            if service.stream == "twice":
                batch = batch + batch
            if service.stream == "shuffled":
                batch = batch[::-1]
            if service.stream == "holes":
                batch = batch[1:]
            yield batch


@contextmanager
def played(world: World) -> Iterator[None]:
    """Put the world's clock, and pauses before every transaction that writes, into the core."""
    write = Database.write

    @contextmanager
    def paused_write(self: Database) -> Iterator[Any]:
        pause("write")
        if world.store_faults and current() is not None:
            world.store_faults -= 1
            raise OperationalError("write", {}, Exception("database or disk is full"))
        with write(self) as connection:
            yield connection

    modules = (arrival, follow, reconcile, steady)
    patches = [mock.patch.object(module, "time", world.time) for module in modules]
    patches += [mock.patch.object(Database, "write", paused_write), mock.patch("os.fsync")]
    for each in patches:
        each.start()
    try:
        yield
    finally:
        for each in reversed(patches):
            each.stop()
