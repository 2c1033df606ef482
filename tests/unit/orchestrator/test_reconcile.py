# SPDX-License-Identifier: BSD-3-Clause
"""The loop when something around it fails: nothing is kept for ever that nobody looks after."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dl4mic_orchestrator.records import Grant, Instance, InstanceState

from .scripted_world import World, played


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    with played(world):
        yield world


def test_what_is_left_of_an_orchestrator_holds_no_place_even_if_it_cannot_be_ended(
    world: World,
) -> None:
    for name in ("warm-1", "warm-2"):
        row = Instance(
            name, "blur", "blur", InstanceState.WARM, Grant(1), backend_state={"id": name}
        )
        world.store.instances.add(row)
    world.stop_faults = 1
    world.reconciler.clear()
    assert not world.store.instances.all()
