# SPDX-License-Identifier: BSD-3-Clause
"""Warm instances: who asks for one gets one or hears why not, and none is kept that nobody can call."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from unittest.mock import Mock

import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from servers import FAKES

from dl4mic.manifest import read_service
from dl4mic.server import status_of
from dl4mic_orchestrator import steady, warm
from dl4mic_orchestrator.backends.base import LaunchSpec, Probe, State, UnavailableError
from dl4mic_orchestrator.catalog import Catalog
from dl4mic_orchestrator.records import Device, Grant, InstanceState, WarmKey
from dl4mic_orchestrator.store import Store
from dl4mic_orchestrator.warm import NoWarmInstanceError, WarmPool

KEY = WarmKey("blur", "/models/m/1", "best", Device.CPU)
OTHER = WarmKey("blur", "/models/m/2", "best", Device.CPU)


class Backend:
    """Starts and ends at once, or fails as it is told."""

    def __init__(self) -> None:
        self.stopped: list[str] = []
        self.launch_fault = self.stop_fault = ""

    def prepare(self, service: object, progress: object) -> None:
        """Have all that is needed."""

    def launch(self, spec: LaunchSpec, save: Callable[[State], None]) -> State:
        state = {"id": spec.instance_id}
        save(state)
        if self.launch_fault:
            raise UnavailableError("ENVIRONMENT_UNAVAILABLE", self.launch_fault, "")
        return state

    def probe(self, states: Sequence[State]) -> list[Probe]:
        return [Probe(True, "localhost:1", "here") for _ in states]

    def stop(self, state: State, grace_seconds: float) -> None:
        self.stopped.append(state["id"])
        if self.stop_fault:
            raise ConnectionError(self.stop_fault)


class World:
    """A pool, and callers who ask it for instances."""

    def __init__(self, folder: Path) -> None:
        self.instances = Store(folder / "s.sqlite").instances
        self.backend = Backend()
        catalog = Catalog([read_service(FAKES / "blur")])
        self.pool = WarmPool(self.instances, self.backend, catalog, folder, folder, 9.0, 9.0)
        self.callers = ThreadPoolExecutor()

    def call(self, key: WarmKey = KEY) -> Future[None]:
        """Have somebody ask for an instance, and use it at once when it is there."""

        def use() -> None:
            with self.pool.lease(key, 10.0):
                pass

        return self.callers.submit(use)

    def wished(self, key: WarmKey = KEY, seconds: float = 10.0) -> bool:
        """Wait until somebody wishes for an instance."""
        end = time.monotonic() + seconds
        while key not in [wish.key for wish in self.pool.wishes()]:
            if time.monotonic() > end:
                return False
            time.sleep(0.01)
        return True

    def bring_up(self, key: WarmKey = KEY) -> None:
        """Do what the reconciler does with a wish."""
        assert self.wished(key)
        entry = self.pool.claim(key, Grant(1))
        assert entry is not None
        self.pool.launch(entry)

    def idle(self, key: WarmKey = KEY) -> str:
        """Have an instance that answered somebody and is idle now."""
        call = self.call(key)
        self.bring_up(key)
        call.result(10)
        return self.pool.idle()[-1].instance_id

    def while_ending(self, act: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
        """Have something happen just when it is written down that an instance ends, for the first time."""
        change_state = self.instances.change_state

        def changed(instance_id: str, state: InstanceState) -> None:
            change_state(instance_id, state)
            if state is InstanceState.STOPPING:
                monkeypatch.undo()
                act()

        monkeypatch.setattr(self.instances, "change_state", changed)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(warm, "await_serving", lambda *_: None)
        world = World(tmp_path)
        yield world
        world.callers.shutdown()


def test_who_asks_gets_an_instance_that_is_kept_for_the_next(world: World) -> None:
    instance_id = world.idle()
    assert world.pool.holds(KEY) and not world.pool.busy
    world.call().result(10)
    assert [row.id for row in world.instances.all()] == [instance_id]
    world.pool.stop(instance_id)
    assert world.backend.stopped == [instance_id]
    assert not world.pool.holds(KEY) and not world.instances.all()


def test_who_asks_while_an_instance_ends_gets_another_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Future[None]] = []

    def ask() -> None:
        calls.append(world.call())
        world.wished(seconds=0.3)

    instance_id = world.idle()
    world.while_ending(ask, monkeypatch)
    world.pool.stop(instance_id)
    world.bring_up()
    calls[0].result(10)
    (kept,) = world.instances.all()
    assert kept.id != instance_id and world.backend.stopped == [instance_id]


def test_an_instance_that_is_ended_twice_at_once_takes_nothing_else_with_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance_id = world.idle()
    second = threading.Thread(target=world.pool.stop, args=(instance_id,))
    calls: list[Future[None]] = []

    def again() -> None:
        second.start()
        second.join(0.3)
        calls.append(world.call())
        world.wished(seconds=0.3)

    world.while_ending(again, monkeypatch)
    world.pool.stop(instance_id)
    second.join()
    world.bring_up()
    calls[0].result(10)
    assert world.backend.stopped == [instance_id]


def test_who_waits_hears_why_an_instance_cannot_be_started_and_its_place_is_free(
    world: World,
) -> None:
    world.backend.launch_fault = "no room for the environment"
    call = world.call()
    world.bring_up()
    with pytest.raises(NoWarmInstanceError, match="no room for the environment"):
        call.result(10)
    assert not world.instances.all() and not world.pool.busy


def test_who_waits_in_vain_hears_what_else_there_is(world: World) -> None:
    with pytest.raises(NoWarmInstanceError) as caught, world.pool.lease(KEY, 0.05):
        pass
    status = status_of(caught.value)
    assert status.code == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
    assert "no place became free" in status.message
    info = ErrorInfo()
    assert status.details[0].Unpack(info) and "predict a folder" in info.metadata["hint"]
    assert world.pool.wishes() == []


def test_since_when_an_instance_is_there_is_told_by_the_clock_that_the_plan_reads(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steady, "_ORIGIN", 0.0)
    world.idle()
    (row,) = world.instances.all()
    assert row.create_time == pytest.approx(steady.now(), abs=600)


def test_an_instance_that_cannot_be_ended_holds_no_place(world: World) -> None:
    world.backend.stop_fault = "the API server is away"
    world.pool.stop(world.idle())
    assert len(world.backend.stopped) == 1 and not world.instances.all()


def test_an_instance_whose_row_cannot_be_removed_is_known_no_more(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance_id = world.idle()
    assert world.pool.knows(instance_id)
    monkeypatch.setattr(world.instances, "all", Mock(side_effect=OSError("the store is away")))
    with pytest.raises(OSError, match="away"):
        world.pool.stop(instance_id)
    assert not world.pool.knows(instance_id), "the reconciler puts away what nobody knows"


def test_at_the_end_each_instance_is_ended_whatever_becomes_of_the_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = {world.idle(), world.idle(OTHER)}
    monkeypatch.setattr(world.instances, "remove", Mock(side_effect=OSError("the disk is full")))
    world.pool.close()
    assert set(world.backend.stopped) == there
