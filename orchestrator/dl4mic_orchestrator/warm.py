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


class NoWarmInstanceError(Exception):
    """No warm instance could be had; the message says why."""


@dataclass
class _Entry:
    """A warm instance, wished for or there."""

    instance_id: str = ""
    state: State = field(default_factory=dict)
    connection: Connection | None = None
    calls: int = 0
    idle_since: float = 0.0
    fault: str = ""
    launching: bool = False
    stopping: bool = False


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
        self._entries: dict[WarmKey, _Entry] = {}
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
            return entry is not None and entry.connection is not None and not entry.stopping

    def wishes(self) -> list[WarmWish]:
        """List what callers wait for."""
        needs = self._catalog.needs()
        with self._changed:
            wished = [
                key
                for key, entry in self._entries.items()
                if not entry.instance_id and not entry.launching
            ]
        return [
            WarmWish(key, needs[key.network], self._catalog.service(key.network).name)
            for key in wished
        ]

    def idle(self) -> list[Idle]:
        """List the instances that answer nobody."""
        with self._changed:
            ready = [
                entry for entry in self._entries.values() if entry.connection and not entry.stopping
            ]
            return [Idle(entry.instance_id, entry.idle_since) for entry in ready if not entry.calls]

    def claim(self, key: WarmKey, grant: Grant) -> Instance | None:
        """Take a wish on, and a place for it: whoever looks from now on finds it taken; None when nobody wishes it."""
        with self._changed:
            entry = self._entries.get(key)
            if entry is None or entry.launching or entry.instance_id:
                return None
            instance = Instance(
                id=f"warm-{uuid.uuid4().hex[:8]}",
                service=self._catalog.service(key.network).name,
                network=key.network,
                state=InstanceState.LAUNCHING,
                grant=grant,
                create_time=time.time(),
            )
            self._instances.add(instance)
            entry.launching = True
        return instance

    def launch(self, key: WarmKey, instance: Instance) -> None:
        """Start an instance for a wish that was claimed."""
        entry = self._entries[key]
        try:
            entry.state, address = self._launch(key, instance)
            self._instances.change_state(instance.id, InstanceState.WARM)
            with self._changed:
                entry.instance_id = instance.id
                entry.connection = Connection(address)
                entry.idle_since = steady.now()
                entry.launching = False
                self._changed.notify_all()
        except (UnavailableError, NotServingError, OSError) as error:
            log.warning("a warm instance of %s cannot be started: %s", key.network, error)
            self._discard(instance.id, key, str(error))
        except Exception as error:
            # Its place must be given back, and its callers must hear of it, whatever it was.
            log.exception("a warm instance of %s cannot be started", key.network)
            self._discard(instance.id, key, f"{type(error).__name__}: {error}")

    def stop(self, instance_id: str) -> None:
        """End an instance, if it is idle still."""
        with self._changed:
            found = [
                key for key, entry in self._entries.items() if entry.instance_id == instance_id
            ]
            if not found or self._entries[found[0]].calls:
                return
            self._entries[found[0]].stopping = True
        self._instances.change_state(instance_id, InstanceState.STOPPING)
        self._discard(instance_id, found[0], "")

    def close(self) -> None:
        """End all of them."""
        with self._changed:
            entries = list(self._entries.items())
            for _, entry in entries:
                entry.fault = _ENDS
            self._changed.notify_all()
        for key, entry in entries:
            if entry.instance_id:
                self._discard(entry.instance_id, key, _ENDS)

    @property
    def busy(self) -> bool:
        """Say whether somebody waits for an image, or an instance starts."""
        with self._changed:
            return any(entry.calls or entry.launching for entry in self._entries.values())

    def _take(self, key: WarmKey, timeout_seconds: float) -> _Entry:
        with self._changed:
            self._drop_dead(key)
            entry = self._entries.get(key)
            if entry is None or entry.stopping:
                entry = self._entries[key] = _Entry()
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
            and entry.connection
            and not self._backend.probe([entry.state])[0].alive
        ):
            log.warning("the warm instance %s has died", entry.instance_id)
            # A cluster brings it up again, and taking that away is waited for.
            threading.Thread(
                target=self._backend.stop, args=(entry.state, 0.0), name="warm", daemon=True
            ).start()
            self._instances.remove(entry.instance_id)
            entry.connection.close()
            del self._entries[key]

    def _launch(self, key: WarmKey, instance: Instance) -> tuple[State, str]:
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
        self._instances.give_place(instance.id, state, probe.place, time.time())
        await_serving(
            probe.address,
            lambda: not self._backend.probe([state])[0].alive,
            self._start_seconds,
        )
        return state, probe.address

    def _save(self, instance_id: str, state: State) -> None:
        self._instances.save_backend_state(instance_id, state, "")

    def _discard(self, instance_id: str, key: WarmKey, fault: str) -> None:
        with self._changed:
            entry = self._entries.get(key, _Entry())
            entry.fault = fault
            if entry.connection is not None:
                entry.connection.close()
            self._entries.pop(key, None)
            self._changed.notify_all()
        state = {row.id: row.backend_state for row in self._instances.all()}.get(instance_id)
        if state:
            self._backend.stop(state, LAST_SECONDS)
        self._instances.remove(instance_id)
        (self._logs / f"{instance_id}.log").unlink(missing_ok=True)
        self.wake.set()


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
