# SPDX-License-Identifier: BSD-3-Clause
"""A backend over a scripted engine that leaves no process behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from scripted_engine import ScriptedEngine, make_backend

from dl4mic_orchestrator.backends.container import ContainerBackend


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[ScriptedEngine]:
    home = tmp_path / "engine"
    home.mkdir()
    scripted = ScriptedEngine(home)
    (home / "images").write_text("")
    scripted.refuse()
    scripted.ended()
    yield scripted
    for name in scripted.containers:
        scripted.kill(name)


@pytest.fixture
def backend(tmp_path: Path, engine: ScriptedEngine) -> ContainerBackend:
    return make_backend(tmp_path, engine)
