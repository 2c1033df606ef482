# SPDX-License-Identifier: BSD-3-Clause
"""Bring the world to what the plan wants: look, plan, act, whenever something has changed."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from dl4mic_orchestrator import logs
from dl4mic_orchestrator.attempt import Attempts
from dl4mic_orchestrator.backends.base import Backend
from dl4mic_orchestrator.catalog import Catalog
from dl4mic_orchestrator.interruption import Interruption
from dl4mic_orchestrator.plan import (
    Decision,
    End,
    Launch,
    LaunchWarm,
    Limits,
    Prepare,
    Snapshot,
    StopWarm,
    Wait,
    next_wake,
    plan,
)
from dl4mic_orchestrator.records import Instance, Job, JobState, Needs
from dl4mic_orchestrator.settle import Settlement
from dl4mic_orchestrator.store import Store
from dl4mic_orchestrator.warm import WarmPool

_LONGEST_SLEEP_SECONDS = 30.0
"""Whatever was missed is seen after this long at the latest."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Activity:
    """The thread that works for a job, and how to end its work."""

    thread: threading.Thread
    interruption: Interruption


class Reconciler:
    """The loop that makes things happen; everything else only writes down what shall be."""

    def __init__(
        self,
        store: Store,
        backend: Backend,
        catalog: Catalog,
        attempts: Attempts,
        settlement: Settlement,
        warm: WarmPool,
        limits: Limits,
    ) -> None:
        self._store = store
        self._backend = backend
        self._needs = catalog.needs()
        self._attempts = attempts
        self._settlement = settlement
        self._warm = warm
        self._limits = limits
        self._wake = warm.wake
        self._stopping = False
        self._lock = threading.Lock()
        self._activities: dict[str, Activity] = {}
        self._explanations: dict[str, Wait] = {}

    def wake(self) -> None:
        """Say that something has changed."""
        self._wake.set()

    def explain(self, job_id: str) -> tuple[str, int]:
        """Tell why a job waits, and how many go first; ("", 0) when it does not."""
        wait = self._explanations.get(job_id)
        return (wait.reason, wait.jobs_ahead) if wait is not None else ("", 0)

    @property
    def idle(self) -> bool:
        """Say whether there is nothing to do and nobody to wait for."""
        return not self._activities and not self._warm.busy and not self._store.jobs.open_jobs()

    def run(self) -> None:
        """Reconcile until `stop` is called."""
        self._adopt()
        while not self._stopping:
            self._wake.clear()
            snapshot = self._look()
            for decision in plan(snapshot):
                self._act(decision)
            moment = next_wake(snapshot)
            sleep = (
                _LONGEST_SLEEP_SECONDS
                if moment is None
                else min(moment - time.time(), _LONGEST_SLEEP_SECONDS)
            )
            self._wake.wait(max(sleep, 0.01))

    def stop(self) -> None:
        """End the loop. Running instances are left to go on; the next orchestrator adopts them."""
        self._stopping = True
        self._wake.set()

    def _look(self) -> Snapshot:
        with self._lock:
            active = frozenset(self._activities)
        # Read after `active`: a job whose thread has ended since then has its result written already.
        jobs = self._store.jobs.open_jobs()
        return Snapshot(
            now=time.time(),
            capacity=self._backend.capacity(),
            jobs=jobs,
            ended=self._store.jobs.states({other for job in jobs for other in job.depends_on}),
            active=active,
            instances=self._store.instances.all(),
            idle=self._warm.idle(),
            wishes=self._warm.wishes(),
            # A network may have gone since its job was accepted; the job's preparation says so.
            needs={job.network: Needs() for job in jobs} | self._needs,
            limits=self._limits,
        )

    def _act(self, decision: Decision) -> None:
        if not isinstance(decision, LaunchWarm | StopWarm | Wait):
            self._explanations.pop(decision.job_id, None)
        match decision:
            case Prepare(job_id):
                self._begin(job_id, lambda it: self._attempts.prepare(job_id, it))
            case Launch(job_id, grant):
                self._begin(job_id, lambda it: self._attempts.run(job_id, grant, it))
            case End():
                self._end(decision)
            case Wait():
                self._explain(decision)
            case LaunchWarm(key, grant):
                if self._warm.claim(key):
                    threading.Thread(
                        target=self._warm.launch, args=(key, grant), daemon=True
                    ).start()
            case StopWarm(instance_id):
                threading.Thread(target=self._warm.stop, args=(instance_id,), daemon=True).start()

    def _begin(self, job_id: str, work: Callable[[Interruption], None]) -> None:
        interruption = Interruption()
        thread = threading.Thread(
            target=self._work, args=(job_id, work, interruption), name=f"job-{job_id}", daemon=True
        )
        with self._lock:
            self._activities[job_id] = Activity(thread, interruption)
        thread.start()

    def _work(
        self, job_id: str, work: Callable[[Interruption], None], interruption: Interruption
    ) -> None:
        job = self._store.jobs.get(job_id)
        with logs.bound(job=job_id, network=job.network):
            try:
                work(interruption)
            except Exception:
                log.exception("the work for the job broke off; it is taken up again")
                time.sleep(1.0)
            finally:
                with self._lock:
                    del self._activities[job_id]
                self._wake.set()

    def _end(self, end: End) -> None:
        with self._lock:
            activity = self._activities.get(end.job_id)
        if activity is not None:
            # Its callbacks make calls to the instance, which may hang.
            threading.Thread(
                target=activity.interruption.set, args=(end.cause,), daemon=True
            ).start()
            return
        job = self._store.jobs.get(end.job_id)
        with logs.bound(job=job.id, network=job.network):
            self._settlement.end(job.id, job.attempt, end.cause, end.about)

    def _explain(self, wait: Wait) -> None:
        self._explanations[wait.job_id] = wait
        job = self._store.jobs.get(wait.job_id)
        if wait.reason != job.waiting_reason:
            self._store.jobs.change_state(
                job.id, job.attempt, JobState.PENDING, waiting_reason=wait.reason
            )

    def _adopt(self) -> None:
        """Take up what an orchestrator before this one had under way; end what belongs to nobody."""
        jobs = {job.id: job for job in self._store.jobs.open_jobs()}
        by_job: dict[str, Instance] = {}
        for instance in self._store.instances.all():
            if instance.job_id in jobs and jobs[instance.job_id].attempt == instance.attempt:
                by_job[instance.job_id] = instance
            else:
                self._discard(instance)
        for job in jobs.values():
            if job.id in by_job or job.state is not JobState.PENDING:
                self._take_up(job, by_job.get(job.id))

    def _take_up(self, job: Job, instance: Instance | None) -> None:
        self._begin(job.id, lambda it: self._attempts.adopt(job.id, instance, it))

    def _discard(self, instance: Instance) -> None:
        if instance.backend_state:
            self._backend.stop(instance.backend_state, 0.0)
        self._store.instances.remove(instance.id)
