# SPDX-License-Identifier: BSD-3-Clause
"""Work for one attempt of one job: prepare it, run it on an instance, settle it. Each job's work has a thread."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from dl4mic.check import Request
from dl4mic.v1.job_pb2 import Job as JobMessage
from dl4mic.v1.job_pb2 import JobError, JobEvent
from dl4mic_orchestrator import steady
from dl4mic_orchestrator.arrival import FROM_CHECKPOINT, await_arrival, last_word, unavailable
from dl4mic_orchestrator.backends.base import (
    Backend,
    LaunchSpec,
    Probe,
    Progress,
    ServiceSpec,
    State,
    UnavailableError,
)
from dl4mic_orchestrator.briefing import Briefing
from dl4mic_orchestrator.catalog import Catalog, UnknownNetworkError, needs_of
from dl4mic_orchestrator.dial import NotServingError
from dl4mic_orchestrator.failure import job_error
from dl4mic_orchestrator.follow import (
    EVENTS_FILE,
    Followed,
    Follower,
    Outcome,
    Patience,
)
from dl4mic_orchestrator.interruption import Interrupted, Interruption
from dl4mic_orchestrator.records import Grant, Instance, InstanceState, JobState
from dl4mic_orchestrator.settle import Settlement
from dl4mic_orchestrator.store import Store, StoreError

LAST_SECONDS = 5.0
"""What an instance has for its own end after its job has ended."""

log = logging.getLogger(__name__)


def service_spec(catalog: Catalog, network: str, *, sdk_alone: bool = False) -> ServiceSpec:
    """Describe the service of a network to a backend."""
    service = catalog.service(network)
    return ServiceSpec(service.name, service.folder, service.python_versions, sdk_alone)


class Called(Followed, Protocol):
    """The calls of an instance."""

    def assign(self, request: Request) -> None:
        """Give the instance its job; giving it again does nothing."""


class Dialler(Protocol):
    """Reaches instances."""

    def await_serving(
        self, address: str, give_up: Callable[[], bool], timeout_seconds: float
    ) -> None:
        """Wait until an instance answers; raise `NotServingError` when it does not."""

    def dial(self, address: str, token: Path | None) -> AbstractContextManager[Called]:
        """Call an instance for a while, showing what the file of its token holds."""


class DataCheck(Protocol):
    """Checks the pixels of a job."""

    def run(self, attempt_folder: Path, progress: Progress) -> JobError | None:
        """Say what is wrong with the data of the attempt's request.json; None when nothing is."""


class Meter(Protocol):
    """Counts, for the metrics."""

    def event(self, job_id: str, network: str, event: JobEvent) -> None:
        """Take an event of an instance."""

    def freed(self, instance: Instance, job: JobMessage) -> None:
        """Take an instance that has given its place back."""

    def silent(self, job_id: str) -> None:
        """Take note that no more signs of life are to be expected of a job."""


class _Reporter:
    """Shows what is being done for a job as the reason why it waits."""

    def __init__(self, store: Store, job: JobMessage, interruption: Interruption) -> None:
        self._store = store
        self._job = job
        self._interruption = interruption

    def report(self, words: str) -> None:
        log.info("%s", words)
        self._store.jobs.change_state(
            self._job.id, self._job.attempt, JobState.PENDING, waiting_reason=words
        )

    def check(self) -> None:
        self._interruption.check()


@dataclass(frozen=True)
class Attempts:
    """Does the work of attempts.

    Attributes
    ----------
    meter
        Counts events and the use of places.
    placed
        Hears that an instance has its place: another one may wait for the next.
    """

    store: Store
    backend: Backend
    catalog: Catalog
    briefing: Briefing
    data_check: DataCheck
    dialler: Dialler
    settlement: Settlement
    patience: Patience
    start_seconds: float
    meter: Meter
    placed: Callable[[], None] = lambda: None

    def prepare(self, job_id: str, interruption: Interruption) -> None:
        """Check the data of a job and make its environment, before it asks for a place."""
        job = self.store.jobs.message(job_id)
        error = self._guard(lambda: self._prepare(job, interruption))
        if error is None and interruption.cause is None:
            self.store.jobs.mark_prepared(job_id, job.attempt)
        else:
            self.settlement.settle(
                job_id, job.attempt, Outcome(JobState.FAILED, error), interruption.cause
            )

    def claim(self, job_id: str, grant: Grant) -> Instance:
        """Take a place for the present attempt of a job: whoever looks from now on finds it taken."""
        instance = self._instance(self.store.jobs.message(job_id), grant)
        self.store.instances.add(instance)
        return instance

    def run(self, job_id: str, instance: Instance, interruption: Interruption) -> None:
        """Run the present attempt of a job on an instance of its own, whose place was claimed."""
        job = self.store.jobs.message(job_id)
        self.store.jobs.change_state(
            job_id, job.attempt, JobState.STARTING, waiting_reason="starting the service"
        )
        self._see_through(
            job, instance, interruption, lambda: self._launch(job, instance, interruption)
        )

    def resume(self, job_id: str, instance: Instance | None, interruption: Interruption) -> None:
        """Go on with an attempt that nobody looks after, or put it back if its service was never started."""
        job = self.store.jobs.message(job_id)
        if self._has_begun(job, instance):
            self._see_through(
                job, instance, interruption, lambda: self._take_up(job, instance, interruption)
            )
            return
        if instance is not None:
            self.store.instances.remove(instance.id)
        self.store.jobs.change_state(
            job_id, job.attempt, JobState.PENDING, waiting_reason="starting the service anew"
        )

    def _instance(self, job: JobMessage, grant: Grant) -> Instance:
        try:
            service = self.catalog.service(job.network).name
        except UnknownNetworkError:
            service = ""  # what follows says so
        return Instance(
            id=f"{job.id}-{job.attempt}",
            service=service,
            network=job.network,
            state=InstanceState.LAUNCHING,
            grant=grant,
            job_id=job.id,
            attempt=job.attempt,
            project=job.project,
            create_time=steady.now(),
        )

    def _has_begun(self, job: JobMessage, instance: Instance | None) -> bool:
        """Say whether a service may have been started: a backend saves its state before it starts one."""
        saved = instance is not None and bool(instance.backend_state)
        return saved or job.state == JobMessage.RUNNING or self._has_told(job)

    def _has_told(self, job: JobMessage) -> bool:
        """Say whether the attempt has left a word: its service has been called."""
        folder = self.briefing.attempt_folder(job.id, job.attempt)
        return (folder / EVENTS_FILE).exists()

    def _see_through(
        self,
        job: JobMessage,
        instance: Instance | None,
        interruption: Interruption,
        work: Callable[[], Outcome],
    ) -> None:
        outcome: list[Outcome] = []
        error = self._guard(lambda: outcome.append(work()))
        given = outcome[0] if outcome else Outcome(JobState.FAILED, error)
        self._finish(job, instance, given, interruption)

    def _prepare(self, job: JobMessage, interruption: Interruption) -> JobError | None:
        reporter = _Reporter(self.store, job, interruption)
        folder = self.briefing.write(job)
        error = self.data_check.run(folder, reporter)
        if error is None:
            self.backend.prepare(self._service_spec(job), reporter)
        return error

    def _service_spec(self, job: JobMessage) -> ServiceSpec:
        """Describe what runs a job: to score finished predictions, nothing of a network is needed."""
        return service_spec(self.catalog, job.network, sdk_alone=bool(job.qc.prediction))

    def _launch(self, job: JobMessage, instance: Instance, interruption: Interruption) -> Outcome:
        interruption.check()
        spec = self._launch_spec(job, instance)
        state = self.backend.launch(spec, lambda state: self._save(instance, state))
        return self._assign_and_follow(job, instance, state, interruption)

    def _launch_spec(self, job: JobMessage, instance: Instance) -> LaunchSpec:
        folder = self.briefing.attempt_folder(job.id, job.attempt)
        return LaunchSpec(
            instance_id=instance.id,
            service=self._service_spec(job),
            grant=instance.grant,
            jobs=self.briefing.folder,
            attempt=job.attempt,
            log=folder / "host.log",
            silence_seconds=self.patience.worker_seconds,
            gpu=needs_of(self.catalog.network(job.network).resources).gpu,
            priority=job.priority,
            reads=self.briefing.reads(job),
            writes=(folder.parent,),
            labels={"job": job.id, "network": job.network, "project": job.project},
        )

    def _assign_and_follow(
        self, job: JobMessage, instance: Instance, state: State, interruption: Interruption
    ) -> Outcome:
        state, probe = self._await_arrival(job, instance, state, interruption)

        def look() -> Probe:
            return self.backend.probe([state])[0]

        try:
            self.dialler.await_serving(
                probe.address,
                lambda: interruption.cause is not None or not look().alive,
                self.start_seconds,
            )
        except NotServingError as error:
            gone = look()
            if gone.fault is not None or gone.ended:
                raise unavailable(gone, begun=self._has_told(job)) from error
            raise
        interruption.check()
        with self.dialler.dial(probe.address, probe.token) as called:
            called.assign(self.briefing.request(job, instance.grant))
            self.store.instances.change_state(instance.id, InstanceState.BUSY)
            outcome = self._follower(job).follow(
                called, lambda: look().alive, interruption, self.patience
            )
        last = last_word(look, _has_crashed(outcome))
        if outcome is None or (last.fault is not None and outcome.state is not JobState.SUCCEEDED):
            raise unavailable(last)
        return outcome

    def _await_arrival(
        self, job: JobMessage, instance: Instance, state: State, interruption: Interruption
    ) -> tuple[State, Probe]:
        """Wait for a place, and say so: PENDING in a cluster's queue, STARTING on the way up."""
        place = said = ""

        def heard(probe: Probe) -> None:
            nonlocal place, said
            interruption.check()
            if probe.place and not place:
                place = probe.place
                found = {**state, **probe.found}
                self.store.instances.give_place(instance.id, found, place, steady.now())
                self.placed()
            if probe.waiting not in ("", said):
                said = probe.waiting
                waits = JobState.STARTING if probe.place else JobState.PENDING
                self.store.jobs.change_state(job.id, job.attempt, waits, waiting_reason=said)

        return await_arrival(self.backend, state, heard)

    def _take_up(
        self, job: JobMessage, instance: Instance | None, interruption: Interruption
    ) -> Outcome:
        if instance is None or not instance.backend_state:
            raise UnavailableError(
                "CRASHED", "the service ended while the job ran", FROM_CHECKPOINT
            )
        probe = self.backend.probe([instance.backend_state])[0]
        if not probe.alive:
            raise unavailable(probe, begun=self._has_told(job))
        log.info("the running job is taken up")
        return self._assign_and_follow(job, instance, instance.backend_state, interruption)

    def _finish(
        self,
        job: JobMessage,
        instance: Instance | None,
        outcome: Outcome,
        interruption: Interruption,
    ) -> None:
        """Free the place, with no process left on it, hear what was said last, then settle the attempt."""
        if instance is not None:
            self._end_instance(instance, job)
        told = self._follower(job).read_rest()
        self.meter.silent(job.id)
        self.settlement.settle(job.id, job.attempt, _weigh(outcome, told), interruption.cause)

    def _end_instance(self, instance: Instance, job: JobMessage) -> None:
        row = next((row for row in self.store.instances.all() if row.id == instance.id), None)
        if row is None:
            return
        if row.backend_state:
            self.store.instances.change_state(instance.id, InstanceState.STOPPING)
            self._stop(job, row.backend_state)
        self.store.instances.remove(instance.id)
        if row.place:
            self.meter.freed(row, self.store.jobs.message(job.id))

    def _stop(self, job: JobMessage, state: State) -> None:
        """End an instance; a job that has not begun says when nobody can be asked for that."""
        try:
            self.backend.stop(state, LAST_SECONDS)
        except OSError as error:
            words = f"waits for the backend: {error}"
            self.store.jobs.change_state(
                job.id, job.attempt, JobState.STARTING, waiting_reason=words
            )
            raise

    def _follower(self, job: JobMessage) -> Follower:
        folder = self.briefing.attempt_folder(job.id, job.attempt)
        return Follower(
            self.store.jobs,
            job.id,
            job.attempt,
            folder,
            lambda event: self.meter.event(job.id, job.network, event),
        )

    def _save(self, instance: Instance, state: State) -> None:
        self.store.instances.save_backend_state(instance.id, state, instance.place)

    def _guard(self, work: Callable[[], JobError | None]) -> JobError | None:
        """Do work, and give what went wrong as an error of the job."""
        try:
            return work()
        except Interrupted:
            return None
        except StoreError:
            raise  # no fault of the job's, which is taken up again when the store answers
        except Exception as error:
            return job_error(error)


def _weigh(outcome: Outcome, told: Outcome | None) -> Outcome:
    """Choose between how an attempt seemed to end and what it said itself, which is truer.

    What an instance says that was killed, or was made to end, only echoes that, unless it is success.
    """
    if told is None:
        return outcome
    code = outcome.error.code if outcome.error is not None else None
    if told.state is not JobState.SUCCEEDED and (
        code == JobError.UNRESPONSIVE or (_has_crashed(told) and code in _FROM_OUTSIDE)
    ):
        return outcome
    return told


def _has_crashed(outcome: Outcome | None) -> bool:
    error = outcome.error if outcome is not None else None
    return error is not None and error.code == JobError.CRASHED


_FROM_OUTSIDE = (JobError.PREEMPTED, JobError.NODE_LOST)
