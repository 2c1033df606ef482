# SPDX-License-Identifier: BSD-3-Clause
"""Keep instances warm, each with one model, for those who send single images."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc

from dl4mic.server import RpcError
from dl4mic.v1.network_pb2_grpc import NetworkServiceStub
from dl4mic_orchestrator import steady
from dl4mic_orchestrator.arrival import await_arrival
from dl4mic_orchestrator.attempt import LAST_SECONDS, service_spec
from dl4mic_orchestrator.backends.base import (
    Backend,
    LaunchSpec,
    Probe,
    State,
    UnavailableError,
)
from dl4mic_orchestrator.catalog import Catalog
from dl4mic_orchestrator.dial import Connection, NotServingError, await_serving
from dl4mic_orchestrator.records import Grant, Instance, InstanceState, WarmKey
from dl4mic_orchestrator.snapshot import Idle, WarmWish
from dl4mic_orchestrator.store.instances import InstanceStore

_ENDS = "the orchestrator ends"

log = logging.getLogger(__name__)


class NoWarmInstanceError(RpcError):
    """No warm instance could be had; the caller reads why, and what else there is.

    The code is none that clients try again by themselves: they have waited long enough.
    """

    def __init__(self, message: str) -> None:
        super().__init__(
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            f"no service can take the image: {message}",
            "NO_WARM_INSTANCE",
            "Try again later, or predict a folder: that is a job, which waits for its place.",
        )


@dataclass
class Entry:
    """A warm instance, wished for or there; `instance` is None until somebody has taken the wish on."""

    key: WarmKey
    instance: Instance | None = None
    state: State = field(default_factory=dict)
    connection: Connection | None = None
    calls: int = 0
    idle_since: float = 0.0
    fault: str = ""

    @property
    def launching(self) -> bool:
        """Say whether it has a place and is not there yet."""
        return self.instance is not None and self.connection is None


class WarmPool:
    """The warm instances of an orchestrator; they end with it.

    Parameters
    ----------
    logs
        Folder for what the hosts say.
    start_seconds
        What a host has until it answers.
    silence_seconds
        What the worker of an instance has for a sign of life while it predicts.
    """

    def __init__(
        self,
        instances: InstanceStore,
        backend: Backend,
        catalog: Catalog,
        jobs: Path,
        logs: Path,
        start_seconds: float,
        silence_seconds: float,
    ) -> None:
        self._instances = instances
        self._backend = backend
        self._catalog = catalog
        self._jobs = jobs
        self._logs = logs
        self._start_seconds = start_seconds
        self._silence_seconds = silence_seconds
        self._changed = threading.Condition()
        self._entries: dict[WarmKey, Entry] = {}
        self.wake = threading.Event()

    @contextmanager
    def lease(self, key: WarmKey, timeout_seconds: float) -> Iterator[NetworkServiceStub]:
        """Hold a warm instance for one call; wait until there is one.

        Raises
        ------
        NoWarmInstanceError
            It could not be started, or no place became free in time.
        """
        entry = self._take(key, timeout_seconds)
        try:
            if entry.connection is None:
                raise NoWarmInstanceError("the instance is not connected")
            yield entry.connection.dial.networks
        finally:
            with self._changed:
                entry.calls -= 1
                entry.idle_since = steady.now()
            self.wake.set()

    def holds(self, key: WarmKey) -> bool:
        """Say whether an instance has read the model already."""
        with self._changed:
            entry = self._entries.get(key)
            return entry is not None and entry.connection is not None

    def knows(self, instance_id: str) -> bool:
        """Say whether an instance is one of these, so that somebody can call it or will."""
        with self._changed:
            return any(_id(each) == instance_id for each in self._entries.values())

    def wishes(self) -> list[WarmWish]:
        """List what callers wait for."""
        needs = self._catalog.needs()
        with self._changed:
            wished = [key for key, entry in self._entries.items() if entry.instance is None]
        return [
            WarmWish(key, needs[key.network], self._catalog.service(key.network).name)
            for key in wished
        ]

    def idle(self) -> list[Idle]:
        """List the instances that answer nobody."""
        with self._changed:
            return [
                Idle(entry.instance.id, entry.idle_since)
                for entry in self._entries.values()
                if entry.instance is not None and entry.connection and not entry.calls
            ]

    def claim(self, key: WarmKey, grant: Grant) -> Entry | None:
        """Take a wish on, and a place for it: whoever looks from now on finds it taken; None when nobody wishes it."""
        with self._changed:
            entry = self._entries.get(key)
            if entry is None or entry.instance is not None:
                return None
            instance = Instance(
                id=f"warm-{uuid.uuid4().hex[:8]}",
                service=self._catalog.service(key.network).name,
                network=key.network,
                state=InstanceState.LAUNCHING,
                grant=grant,
                create_time=steady.now(),
            )
            self._instances.add(instance)
            entry.instance = instance
        return entry

    def launch(self, entry: Entry) -> None:
        """Start an instance for a wish that was claimed."""
        network = entry.key.network
        try:
            if entry.instance is None:
                raise ValueError("it was launched before it was claimed")
            entry.state, probe = self._launch(entry.key, entry.instance)
            self._instances.change_state(entry.instance.id, InstanceState.WARM)
            with self._changed:
                entry.connection = Connection(probe.address, probe.token)
                entry.idle_since = steady.now()
                self._changed.notify_all()
        except (UnavailableError, NotServingError, OSError) as error:
            log.warning("a warm instance of %s cannot be started: %s", network, error)
            self.discard(entry, str(error))
        except Exception as error:
            # Its place must be given back, and its callers must hear of it, whatever it was.
            log.exception("a warm instance of %s cannot be started", network)
            self.discard(entry, f"{type(error).__name__}: {error}")

    def stop(self, instance_id: str) -> None:
        """End an instance, if it is idle still."""
        with self._changed:
            entry = next(
                (each for each in self._entries.values() if _id(each) == instance_id), None
            )
            if entry is None or entry.calls:
                return
            # Under the lock: whoever comes from here on finds nothing, and wishes for another one.
            self._instances.change_state(instance_id, InstanceState.STOPPING)
            del self._entries[entry.key]
        self.discard(entry, "")

    def discard(self, entry: Entry, fault: str) -> None:
        """End what was claimed, however far it came, and give its place back; who waits for it hears the fault."""
        with self._changed:
            entry.fault = fault
            if entry.connection is not None:
                entry.connection.close()
            # Another one may be wished for under the key by now.
            if self._entries.get(entry.key) is entry:
                del self._entries[entry.key]
            self._changed.notify_all()
        rows = [row for row in self._instances.all() if row.id == _id(entry)]
        for row in rows:
            put_away(row, self._backend, self._instances, LAST_SECONDS)
        (self._logs / f"{_id(entry)}.log").unlink(missing_ok=True)
        self.wake.set()

    def close(self) -> None:
        """End all of them."""
        with self._changed:
            entries = list(self._entries.values())
            for entry in entries:
                entry.fault = _ENDS
            self._changed.notify_all()
        for entry in entries:
            if entry.connection is not None:
                try:
                    self.discard(entry, _ENDS)
                except Exception:
                    log.exception("the next orchestrator ends the warm instance %s", _id(entry))

    @property
    def busy(self) -> bool:
        """Say whether somebody waits for an image, or an instance starts."""
        with self._changed:
            return any(entry.calls or entry.launching for entry in self._entries.values())

    def _take(self, key: WarmKey, timeout_seconds: float) -> Entry:
        with self._changed:
            self._drop_dead(key)
            entry = self._entries.get(key)
            if entry is None:
                entry = self._entries[key] = Entry(key)
            entry.calls += 1
            self.wake.set()
            self._changed.wait_for(
                lambda: entry.connection is not None or bool(entry.fault), timeout_seconds
            )
            if entry.connection is not None:
                return entry
            entry.calls -= 1
            if not entry.launching and self._entries.get(key) is entry and not entry.calls:
                del self._entries[key]
            raise NoWarmInstanceError(
                entry.fault or f"no place became free within {timeout_seconds:g} s"
            )

    def _drop_dead(self, key: WarmKey) -> None:
        entry = self._entries.get(key)
        if (
            entry is not None
            and entry.connection is not None
            and not self._backend.probe([entry.state])[0].alive
        ):
            log.warning("the warm instance %s has died", _id(entry))
            # A cluster brings it up again, and taking that away is waited for.
            threading.Thread(
                target=self._backend.stop, args=(entry.state, 0.0), name="warm", daemon=True
            ).start()
            self._instances.remove(_id(entry))
            entry.connection.close()
            del self._entries[key]

    def _launch(self, key: WarmKey, instance: Instance) -> tuple[State, Probe]:
        service = service_spec(self._catalog, instance.network)
        self._backend.prepare(service, _Logged())
        spec = LaunchSpec(
            instance_id=instance.id,
            service=service,
            grant=instance.grant,
            jobs=self._jobs,
            attempt=0,
            log=self._logs / f"{instance.id}.log",
            silence_seconds=self._silence_seconds,
            gpu=self._catalog.needs()[key.network].gpu,
            reads=(Path(key.model_folder),),
            labels={"network": key.network},
        )
        state = self._backend.launch(spec, lambda state: self._save(instance.id, state))
        end = time.monotonic() + self._start_seconds
        state, probe = await_arrival(self._backend, state, lambda probe: _check_time(probe, end))
        self._instances.give_place(instance.id, state, probe.place, steady.now())
        await_serving(
            probe.address,
            lambda: not self._backend.probe([state])[0].alive,
            self._start_seconds,
        )
        return state, probe

    def _save(self, instance_id: str, state: State) -> None:
        self._instances.save_backend_state(instance_id, state, "")


def put_away(
    row: Instance, backend: Backend, instances: InstanceStore, grace_seconds: float
) -> None:
    """End a warm instance and forget it; one that cannot be ended now is left to the backend's sweep.

    That ends what is in no row. A row that stayed would hold the place, with nobody who tries again.
    """
    try:
        if row.backend_state:
            backend.stop(row.backend_state, grace_seconds)
    except Exception:
        log.exception("the warm instance %s cannot be ended now; it is left to the sweep", row.id)
    instances.remove(row.id)


def _id(entry: Entry) -> str:
    return entry.instance.id if entry.instance is not None else ""


def _check_time(probe: Probe, end: float) -> None:
    """Give up on an instance that waits too long; callers hear what for."""
    if probe.waiting and time.monotonic() > end:
        raise NotServingError(probe.waiting)


class _Logged:
    """Nobody reads along while a warm instance's environment is made; the log does."""

    def report(self, words: str) -> None:
        log.info("%s", words)

    def check(self) -> None:
        """Go on."""
