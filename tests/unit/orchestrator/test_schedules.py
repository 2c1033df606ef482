# SPDX-License-Identifier: BSD-3-Clause
"""Nothing is lost: the orchestrator's core under schedules that hypothesis makes up, and shortens when one goes wrong.

What holds after every step: events are numbered 1, 2, 3 ... and are all that callers see; attempts have no gaps; a job
ends once an attempt and a success is for ever; it is tried again as the contract's table says; what is cancelled is
not published, and what is published is published once; a service runs for one open job and holds a place, and no job
has two; an open job has somebody who works for it, or a reason why it waits. And when the world behaves again, every
job ends and no service is left. An id that was deleted may be used again: nothing of the job before comes back with it.

CI plays 2000 of them, a developer 200; ``make schedules SCHEDULES=100000`` plays more.
"""

from __future__ import annotations

import json
import logging
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from google.protobuf.duration_pb2 import Duration
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy.exc import OperationalError

from dl4mic.v1.job_pb2 import Job, JobError, JobEvent
from dl4mic_orchestrator.store.jobs import JobNotFoundError, JobStateError

from .chronicle import Chronicle
from .scripted_world import CAPACITY, Service, World, played

SCHEDULES = int(os.environ.get("SCHEDULES") or ("2000" if os.environ.get("CI") else "200"))
PARTS = 4
"""That may be played side by side."""

STEPS = 25
MOST_TURNS = 600
"""Of a world that behaves, after which nothing may be under way."""

PAUSES = st.sampled_from([1, 2, 3, 5, 8, 13, 21, 60])
WHICH = st.integers(0, 5)
LIES = st.sampled_from(["SUCCEEDED", "FAILED", "RUNNING", "PENDING", "99", "other", "again"])
CODES = st.sampled_from(
    [JobError.OUT_OF_MEMORY, JobError.DISK_FULL, JobError.CRASHED, JobError.INTERNAL, JobError.INVALID_INPUT,
     JobError.GPU_UNUSABLE, JobError.NODE_LOST]
)  # fmt: skip


@contextmanager
def silence() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def fastest_folder() -> str | None:
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


class Schedules(RuleBasedStateMachine):
    """A user, an administrator who kills, services that misbehave, and the orchestrator's threads, in any order."""

    world: World

    def __init__(self) -> None:
        super().__init__()
        self.world.clean()
        self.stack = ExitStack()
        self.stack.enter_context(played(self.world))
        self.chronicle = Chronicle(self.world.raw)
        self.made = self.again = 0
        self.sent: dict[str, int] = {}

    # The user.

    @initialize(jobs=st.integers(1, 2))
    def begin(self, jobs: int) -> None:
        for _ in range(jobs):
            self.submit(needs=0, deadline=0, dry=0, priority=0)

    @precondition(lambda self: self.made < 4)
    @rule(
        needs=st.sampled_from([0, 0, 1]),
        deadline=st.sampled_from([0, 0, 0, 40]),
        dry=st.sampled_from([0, 0, 0, 1]),
        priority=st.integers(0, 1),
    )
    def submit(self, needs: int, deadline: int, dry: int, priority: int) -> None:
        job_id = f"j{self.made}"
        job = Job(id=job_id, network="blur", project=f"p{self.made % 2}", priority=priority)
        request = job.predict if needs and self.made else job.train
        request.network, request.data.source = "blur", "/"
        if deadline:
            request.options.deadline.CopyFrom(Duration(seconds=deadline))
        depends: list[str] = []
        if needs and self.made:
            depends = [f"j{self.made - 1}"]
            request.model.name = f"job:{depends[0]}"
        else:
            request.model, request.dry_run = "m", bool(dry)
        self.made += 1
        self._send(job, depends)

    def _send(self, job: Job, depends: list[str]) -> None:
        """Do what `Admission.admit` does."""
        self.world.folders.put_aside(job.id)
        self.world.store.jobs.create(job, depends)
        self.sent[job.id] = len(self.world.launched)
        self.world.warm.wake.set()

    @precondition(lambda self: self._ids("state >= 4"))
    @rule(which=WHICH, pauses=st.sampled_from([1, 2, 2, 9]), killed=st.booleans())
    def delete(self, which: int, pauses: int, killed: bool) -> None:
        ended = self._ids("state >= 4")
        job_id = ended[which % len(ended)]
        self.world.spawn("user", lambda: self._call(self._delete, job_id))
        self.world.run(len(self.world.fibers) - 1, pauses)
        if killed:
            self.kill_the_orchestrator()
        if job_id not in self._ids():
            self._send_again(job_id)

    def _delete(self, job_id: str) -> None:
        self.world.store.jobs.delete(job_id)
        self.world.folders.delete(job_id)

    @precondition(lambda self: self.again < 3 and self.sent.keys() - self._ids())
    @rule(which=WHICH)
    def send_again(self, which: int) -> None:
        gone = sorted(self.sent.keys() - self._ids())
        self._send_again(gone[which % len(gone)])

    def _send_again(self, job_id: str) -> None:
        self.again += 1
        job = Job(id=job_id, network="blur", project="p0")
        job.train.network, job.train.model = "blur", f"again{self.again}"
        job.train.data.source = "/"
        self._send(job, [])

    @rule(which=WHICH)
    def cancel(self, which: int) -> None:
        if self.made:
            job_id = f"j{which % self.made}"
            self.world.spawn(
                "user", lambda: self._call(self.world.store.jobs.request_cancel, job_id)
            )

    @rule(which=WHICH)
    def retry(self, which: int) -> None:
        if self.made:
            job_id = f"j{which % self.made}"
            self.world.spawn("user", lambda: self._call(self.world.store.jobs.open_by_hand, job_id))

    def _call(self, call: Callable[[str], object], job_id: str) -> None:
        """Do what a call of the API does; one that fails is told so."""
        try:
            call(job_id)
        except (JobStateError, JobNotFoundError, OperationalError):
            return
        self.world.warm.wake.set()

    # Time, and the orchestrator's threads.

    @rule(seconds=st.sampled_from([1, 12, 50, 200, 700]))
    def time_passes(self, seconds: int) -> None:
        self.world.time.passed += seconds

    @rule(pauses=PAUSES)
    def turn(self, pauses: int) -> None:
        self.world.turn(pauses)

    @rule(rounds=st.integers(1, 4))
    def all_go_on(self, rounds: int) -> None:
        for _ in range(rounds):
            self._go_on(pauses=20)

    @rule(which=WHICH, pauses=PAUSES)
    def work(self, which: int, pauses: int) -> None:
        self.world.run(which, pauses)

    @rule(rounds=st.integers(1, 4))
    def all_go_on_slowly(self, rounds: int) -> None:
        for _ in range(rounds):
            self._go_on(pauses=6)

    @rule(rounds=st.sampled_from([1, 3, 12]))
    def all_is_well(self, rounds: int) -> None:
        for _ in range(rounds):
            self._behave()

    @rule()
    def kill_the_orchestrator(self) -> None:
        self.world.kill()
        self.world.boot()

    # The services.

    @rule(which=WHICH, steps=st.integers(1, 3))
    def service_works(self, which: int, steps: int) -> None:
        service = self._service(which)
        for _ in range(steps if service else 0):
            work(service)

    @rule(which=WHICH)
    def service_succeeds(self, which: int) -> None:
        service = self._service(which)
        if service and not service.ended:
            service.say_state("RUNNING")
            service.make_model()
            service.end("SUCCEEDED")

    @rule(which=WHICH, code=CODES)
    def service_fails(self, which: int, code: int) -> None:
        service = self._service(which)
        if service:
            service.end("FAILED", code)

    @rule(which=WHICH, torn=st.booleans())
    def service_dies(self, which: int, torn: bool) -> None:
        service = self._service(which)
        if service:
            if torn:
                service.say(JobEvent(attempt=service.attempt), torn=True)
            service.alive = False

    @rule(which=WHICH, lie=LIES)
    def service_lies(self, which: int, lie: str) -> None:
        service = self._service(which)
        if service is None:
            return
        event = JobEvent()
        if lie == "other":
            event.attempt = service.attempt + 1
            event.state.state = Job.SUCCEEDED
        elif lie == "again":
            event.sequence = 1
            event.checkpoint.step = 1
        elif lie == "99":
            event.state.state = 99  # type: ignore[assignment]
        else:
            event.state.state = Job.State.Value(lie)
        service.say(event)

    @rule(which=WHICH, stream=st.sampled_from(["fine", "late", "twice", "shuffled", "holes", "broken"]))  # fmt: skip
    def stream_turns(self, which: int, stream: str) -> None:
        service = self._service(which)
        if service:
            service.stream = stream

    @rule(how=st.sampled_from(["fails", "mute", "deaf", "breaks"]))
    def next_launch(self, how: str) -> None:
        self.world.next_launch = how

    @rule(what=st.sampled_from(["check", "prepare", "stop", "store", "content"]))
    def something_will_break(self, what: str) -> None:
        world = self.world
        if what == "check":
            world.next_check = "INVALID_INPUT"
        elif what == "prepare":
            world.next_prepare = "ENVIRONMENT_UNAVAILABLE"
        elif what == "stop":
            world.stop_faults = 1
        elif what == "store":
            world.store_faults = 1
        else:
            world.content.fault = True

    @rule()
    def machine_restarts(self) -> None:
        self.world.kill()
        for service in self.world.services.values():
            service.alive = False
        self.world.lost |= set(self.world.services)
        self.world.boot()

    # What holds.

    @invariant()
    def records_are_sound(self) -> None:
        self.chronicle.read_on()
        self.chronicle.check_fold()

    @invariant()
    def publications_are_single(self) -> None:
        raw = self.world.raw
        complete = (
            "SELECT job_id, name, record FROM models WHERE digest != '' AND job_id IS NOT NULL"
        )
        models = {job_id: (name, record) for job_id, name, record in raw.execute(complete)}
        for job_id, message in raw.execute("SELECT id, message FROM jobs"):
            job = Job.FromString(message)
            trained = job.HasField("train") and not job.train.dry_run
            if job.state == Job.SUCCEEDED and trained:
                name, record = models[job_id]
                assert job.model.startswith(f"{job.train.model}:") and name == job.train.model
                assert json.loads(record)["launch"] > self.sent[job_id], "a job before made it"
            elif job.state in (Job.FAILED, Job.CANCELLED) or not trained:
                assert job_id not in models, job
            if job.state == Job.SUCCEEDED:
                assert (self.world.folder / "jobs" / job_id / "artifacts").is_dir()

    @invariant()
    def services_have_a_job_and_a_place(self) -> None:
        raw = self.world.raw
        rows = dict(raw.execute("SELECT id, cpus FROM instances"))
        assert sum(rows.values()) <= CAPACITY.cpus
        open_jobs = dict(raw.execute("SELECT id, attempt FROM jobs WHERE state < 4"))
        running = [(key, each) for key, each in self.world.services.items() if each.alive]
        for key, service in running:
            assert key in rows and open_jobs.get(service.job_id) == service.attempt, (key, rows)
        assert all(n == 1 for n in Counter(each.job_id for _, each in running).values())

    @invariant()
    def open_jobs_have_an_owner_or_a_reason(self) -> None:
        world = self.world
        if world.loop is not None or world.warm.wake.is_set():
            return
        for job_id, message in world.raw.execute("SELECT id, message FROM jobs WHERE state < 4"):
            job = Job.FromString(message)
            owned = job_id in world.reconciler._activities
            assert owned or (job.state == Job.PENDING and job.waiting_reason), job

    def teardown(self) -> None:
        """Let the world behave, and see every job end."""
        try:
            self._settle()
            self.records_are_sound()
            self.publications_are_single()
            assert not self._ids("state < 4")
            assert not [each for each in self.world.services.values() if each.alive]
            assert self.world.raw.execute("SELECT count(*) FROM instances").fetchone() == (0,)
            assert not self.world.meter.signs
            ends = Counter(self.world.meter.ends)
            assert all(ends[job_id] <= each.ends for job_id, each in self.chronicle.stories.items())
        finally:
            self.world.kill()
            self.stack.close()

    def _settle(self) -> None:
        world = self.world
        world.next_launch = world.next_check = world.next_prepare = ""
        world.stop_faults = world.store_faults = 0
        world.content.fault = False
        for _ in range(MOST_TURNS):
            if not self._ids("state < 4") and not world.fibers and world.loop is None:
                return
            self._behave()

    def _behave(self) -> None:
        """Let every service do what a good one does, and every thread make its way."""
        for service in self.world.services.values():
            behave(service)
        self._go_on(pauses=40)
        self.world.time.passed += 10

    def _go_on(self, pauses: int) -> None:
        """Let every thread make some way."""
        self.world.turn(100)
        for number in range(len(self.world.fibers)):
            self.world.run(number, pauses)

    def _ids(self, where: str = "true") -> list[str]:
        return [
            job_id for (job_id,) in self.world.raw.execute(f"SELECT id FROM jobs WHERE {where}")
        ]

    def _service(self, which: int) -> Service | None:
        running = [each for each in self.world.services.values() if each.alive and each.assigned]
        return running[which % len(running)] if running else None


def work(service: Service) -> None:
    """Do one step of honest work."""
    event = JobEvent()
    if len(service.events) < 2:
        event.state.state = Job.RUNNING
    elif len(service.events) % 2:
        event.checkpoint.step = len(service.events)
    else:
        event.metric.name, event.metric.value = "loss", 0.5
    service.say(event)


def behave(service: Service) -> None:
    """Do what a good service does: serve, hear, work, succeed."""
    service.serving, service.stream, service.deaf = True, "fine", False
    if service.alive and service.assigned and not service.ended:
        work(service)
        if len(service.events) > 3:
            service.make_model()
            service.end("SUCCEEDED")


@pytest.mark.timeout(0 if SCHEDULES > 2000 else 900)
@pytest.mark.parametrize("part", range(PARTS))
def test_any_schedule(part: int) -> None:
    from hypothesis.stateful import run_state_machine_as_test

    machine = type("Schedules", (Schedules,), {})
    if SCHEDULES <= 2000:
        seed(part)(machine)  # the same ones each time
    # Thousands of faults are logged, each with its traceback.
    with tempfile.TemporaryDirectory(dir=fastest_folder()) as folder, silence():
        machine.world = World(Path(folder))
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=SCHEDULES // PARTS,
                stateful_step_count=STEPS,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
