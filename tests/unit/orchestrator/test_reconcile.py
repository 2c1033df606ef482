# SPDX-License-Identifier: BSD-3-Clause
"""The loop when something around it fails: nothing is kept for ever that nobody looks after."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest.mock import Mock

import pytest
from sqlalchemy.exc import OperationalError

from dl4mic.v1.job_pb2 import Job
from dl4mic_orchestrator import steady
from dl4mic_orchestrator.records import Device, Grant, Instance, InstanceState, WarmKey
from dl4mic_orchestrator.warm import NoWarmInstanceError, WarmPool

from .scripted_world import CATALOG, World, played


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    with played(world):
        yield world


def submit(world: World) -> None:
    job = Job(id="j", network="blur", project="p")
    job.train.network, job.train.model, job.train.data.source = "blur", "m", "/"
    world.store.jobs.create(job)


def pass_by(world: World) -> None:
    """Make one pass over the jobs, and see what it began through."""
    world.reconciler.turn()
    for _ in range(1000):
        world.run(0, 1)
    assert not world.fibers


def test_what_is_left_of_an_orchestrator_holds_no_place_even_if_it_cannot_be_ended(
    world: World,
) -> None:
    for name in ("warm-1", "warm-2"):
        row = Instance(
            name, "blur", "blur", InstanceState.WARM, Grant(1), backend_state={"id": name}
        )
        world.store.instances.add(row)
    world.stop_faults = 1
    pass_by(world)
    assert not world.store.instances.all()


def test_a_warm_instance_whose_row_stayed_while_the_store_was_away_holds_no_place_for_ever(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    pass_by(world)
    for name in ("known", "forgotten"):
        world.store.instances.add(Instance(name, "blur", "blur", InstanceState.WARM, Grant(1)))
    monkeypatch.setattr(world.warm, "knows", lambda each: each == "known")
    pass_by(world)
    assert len(world.store.instances.all()) == 2, "they are looked at now and then alone"
    world.time.passed += 301
    pass_by(world)
    assert [each.id for each in world.store.instances.all()] == ["known"]


def test_a_job_whose_row_cannot_be_read_when_its_work_begins_is_taken_up_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit(world)
    broken = Mock(side_effect=OperationalError("read", {}, Exception("the database is away")))
    with monkeypatch.context() as patch:
        patch.setattr(world.store.jobs, "get", broken)
        pass_by(world)
    pass_by(world)
    assert world.store.jobs.get("j").prepared


def test_a_job_for_which_no_thread_can_be_started_is_taken_up_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit(world)
    with monkeypatch.context() as patch:
        patch.setattr(world, "spawn", Mock(side_effect=RuntimeError("can't start new thread")))
        world.boot()
        pass_by(world)
    monkeypatch.setattr(world.reconciler, "_spawn", world.spawn)
    pass_by(world)
    assert world.store.jobs.get("j").prepared


def test_who_waits_for_an_image_hears_that_no_thread_can_be_started(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = world.folder
    pool = WarmPool(world.store.instances, world, CATALOG, folder, folder, 9.0, 9.0)
    monkeypatch.setattr(world.reconciler, "_warm", pool)
    broken = Mock(side_effect=RuntimeError("can't start new thread"))
    monkeypatch.setattr(world.reconciler, "_spawn", broken)

    def ask() -> None:
        with pool.lease(WarmKey("blur", "/models/m/1", "best", Device.CPU), 10.0):
            pass

    with ThreadPoolExecutor() as callers:
        call = callers.submit(ask)
        assert pool.wake.wait(10.0)
        world.reconciler.turn()
        with pytest.raises(NoWarmInstanceError, match="can't start new thread"):
            call.result(20.0)
    assert not world.store.instances.all()


def test_since_when_a_job_has_an_instance_is_told_by_the_clock_that_the_plan_reads(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steady, "_ORIGIN", 0.0)
    submit(world)
    pass_by(world)
    world.reconciler.turn()
    (row,) = world.store.instances.all()
    assert row.create_time == pytest.approx(steady.now(), abs=600)
