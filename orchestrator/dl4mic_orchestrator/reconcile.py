# SPDX-License-Identifier: BSD-3-Clause
"""Bring the world to what the plan wants: look, plan, act, whenever something has changed."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from dl4mic_orchestrator import logs, steady
from dl4mic_orchestrator.attempt import Attempts
from dl4mic_orchestrator.backends.base import Backend
from dl4mic_orchestrator.catalog import Catalog
from dl4mic_orchestrator.interruption import Interruption
from dl4mic_orchestrator.plan import (
    Decision,
    Discard,
    End,
    Launch,
    LaunchWarm,
    Prepare,
    Resume,
    StopWarm,
    Wait,
    next_wake,
    plan,
)
from dl4mic_orchestrator.records import Instance, Needs
from dl4mic_orchestrator.settle import Settlement
from dl4mic_orchestrator.snapshot import Limits, Snapshot
from dl4mic_orchestrator.store import Store, StoreAwayError
from dl4mic_orchestrator.warm import Entry, WarmPool, put_away

_LONGEST_SLEEP_SECONDS = 30.0
"""Whatever was missed is seen after this long at the latest."""

_SWEEP_SECONDS = 300.0
_AGAIN_SECONDS = 1.0
_LAST_PASS_SECONDS = 5.0

log = logging.getLogger(__name__)


Spawn = Callable[[str, Callable[[], None]], None]
"""Has something done beside the loop, under a name."""


def in_thread(name: str, work: Callable[[], None]) -> None:
    """Do work in a thread that does not keep the process alive: what it leaves undone is resumed."""
    threading.Thread(target=work, name=name, daemon=True).start()


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
        spawn: Spawn = in_thread,
        passed: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        self._store = store
        self._backend = backend
        self._needs = catalog.needs()
        self._attempts = attempts
        self._settlement = settlement
        self._warm = warm
        self._limits = limits
        self._spawn = spawn
        self._passed = passed
        self._wake = warm.wake
        self._stopping = False
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._activities: dict[str, Interruption] = {}
        self._served: dict[str, float] = {}
        self._explanations: dict[str, Wait] = {}
        self._swept = 0.0

    def wake(self) -> None:
        """Say that something has changed."""
        self._wake.set()

    def explain(self, job_id: str) -> tuple[str, int]:
        """Tell why a job waits, and how many go first; ("", 0) when it does not."""
        wait = self._explanations.get(job_id)
        return (wait.reason, wait.jobs_ahead) if wait is not None else ("", 0)

    @property
    def idle(self) -> bool:
        """Say whether there is nothing to do and nobody to wait for; while the store is away, nobody knows."""
        if self._activities or self._warm.busy:
            return False
        try:
            return not self._store.jobs.open_jobs()
        except StoreAwayError:
            return False

    def run(self) -> None:
        """Reconcile until `stop` is called."""
        while not self._stopping:
            self._wake.wait(self.turn())
            self._wake.clear()
        self._stopped.set()

    def turn(self) -> float:
        """Make a step, whatever comes of it; return for how many seconds nothing is to be done by itself."""
        return self._guard(self.step)

    def stop(self) -> None:
        """End the loop. Running instances are left to go on; the next orchestrator resumes their jobs."""
        self._stopping = True
        self._wake.set()
        self._stopped.wait(_LAST_PASS_SECONDS)

    def step(self) -> float | None:
        """Look, plan and act once; return when time alone will change the plan, in seconds since 1970."""
        self._sweep()
        began = time.monotonic()
        snapshot = self._look()
        decisions = plan(snapshot)
        self._explain([each for each in decisions if isinstance(each, Wait)])
        for decision in decisions:
            self._act(decision, snapshot)
        self._passed(time.monotonic() - began)
        return next_wake(snapshot)

    def _guard(self, work: Callable[[], float | None]) -> float:
        """Do work, and tell for how many seconds to sleep; a pass that fails must not be the last one."""
        try:
            moment = work()
        except Exception:
            log.exception("a pass over the jobs broke off; the next one begins anew")
            return _AGAIN_SECONDS
        if moment is None:
            return _LONGEST_SLEEP_SECONDS
        return min(max(moment - steady.now(), 0.01), _LONGEST_SLEEP_SECONDS)

    def _look(self) -> Snapshot:
        with self._lock:
            active = frozenset(self._activities)
        # Read after `active`: a job whose thread has ended since then has its result written already.
        jobs = self._store.jobs.open_jobs()
        return Snapshot(
            now=steady.now(),
            capacity=self._backend.capacity(),
            jobs=jobs,
            ended=self._store.jobs.states({other for job in jobs for other in job.depends_on}),
            active=active,
            served=self._served,
            instances=self._store.instances.all(),
            idle=self._warm.idle(),
            wishes=self._warm.wishes(),
            # A network may have gone since its job was accepted; the job's preparation says so.
            needs={job.network: Needs() for job in jobs} | self._needs,
            limits=self._limits,
        )

    def _act(self, decision: Decision, snapshot: Snapshot) -> None:
        match decision:
            case Prepare(job_id):
                self._begin(job_id, lambda it: self._attempts.prepare(job_id, it))
            case Launch(job_id, grant):
                self._note_served(job_id, snapshot)
                claimed = self._attempts.claim(job_id, grant)
                self._begin(job_id, lambda it: self._attempts.run(job_id, claimed, it))
            case Resume(job_id):
                held = [each for each in snapshot.instances if each.job_id == job_id]
                instance = held[0] if held else None
                self._begin(job_id, lambda it: self._attempts.resume(job_id, instance, it))
                self._wake.set()
            case Discard(instance_id):
                self._discard(next(each for each in snapshot.instances if each.id == instance_id))
            case End():
                self._end(decision)
            case LaunchWarm(key, grant):
                warm = self._warm.claim(key, grant)
                if warm is not None:
                    self._launch_warm(warm)
            case StopWarm(instance_id):
                self._spawn("warm", lambda: self._warm.stop(instance_id))

    def _launch_warm(self, claimed: Entry) -> None:
        try:
            self._spawn("warm", lambda: self._warm.launch(claimed))
        except Exception as error:
            self._warm.discard(claimed, f"it cannot be started: {error}")
            raise

    def _note_served(self, job_id: str, snapshot: Snapshot) -> None:
        project = next(job.project for job in snapshot.jobs if job.id == job_id)
        self._served[project] = snapshot.now

    def _begin(self, job_id: str, work: Callable[[Interruption], None]) -> None:
        interruption = Interruption()
        with self._lock:
            self._activities[job_id] = interruption
        try:
            self._spawn(f"job-{job_id}", lambda: self._work(job_id, work, interruption))
        except Exception:
            self._leave(job_id)
            raise

    def _work(
        self, job_id: str, work: Callable[[Interruption], None], interruption: Interruption
    ) -> None:
        with logs.bound(job=job_id):
            try:
                with logs.bound(network=self._store.jobs.get(job_id).network):
                    work(interruption)
            except Exception:
                log.exception("the work for the job broke off; it is taken up again")
                time.sleep(_AGAIN_SECONDS)
            finally:
                self._leave(job_id)
                self._wake.set()

    def _leave(self, job_id: str) -> None:
        with self._lock:
            del self._activities[job_id]

    def _end(self, end: End) -> None:
        with self._lock:
            interruption = self._activities.get(end.job_id)
        if interruption is not None:
            if interruption.cause is None:
                # Its callbacks make calls to the instance, which may hang.
                self._spawn("interrupt", lambda: interruption.set(end.cause))
            return
        job = self._store.jobs.get(end.job_id)
        with logs.bound(job=job.id, network=job.network):
            self._settlement.end(job.id, job.attempt, end.cause, end.about)
        self._wake.set()

    def _explain(self, waits: list[Wait]) -> None:
        """Write down why jobs wait, where that has changed since the last pass."""
        known = self._explanations
        news = {
            wait.job_id: wait.reason
            for wait in waits
            if wait.reason
            and (wait.job_id not in known or known[wait.job_id].reason != wait.reason)
        }
        self._store.jobs.explain(news)
        self._explanations = {wait.job_id: wait for wait in waits}

    def _sweep(self) -> None:
        """At first, and now and then, end what nobody knows any more.

        Warm instances of an orchestrator before this one, or whose row stayed while the store was away; and what runs
        and is in no row, since that was lost, or removed when it could not be reached.
        """
        if 0 <= steady.now() - self._swept < _SWEEP_SECONDS:
            return
        for instance in self._store.instances.all():
            if not instance.job_id and not self._warm.knows(instance.id):
                put_away(instance, self._backend, self._store.instances, 0.0)
        self._swept = steady.now()
        self._backend.sweep(lambda: {each.id for each in self._store.instances.all()})

    def _discard(self, instance: Instance) -> None:
        if instance.backend_state:
            self._backend.stop(instance.backend_state, 0.0)
        self._store.instances.remove(instance.id)
