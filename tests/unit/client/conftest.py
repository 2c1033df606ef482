# SPDX-License-Identifier: BSD-3-Clause
"""A scripted server of the contract in this process, and clients of it over both kinds of address."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import dl4mic_client

sys.path.insert(0, str(Path(__file__).parent))

from scripted_server import ScriptedServer  # lies beside this file


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [each for each in os.environ if each.startswith("DL4MIC_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("DL4MIC_WORKSPACE", str(tmp_path / "workspace"))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ScriptedServer]:
    scripted = ScriptedServer(tmp_path / "socket" / "s")
    yield scripted
    scripted.stop()


@pytest.fixture
def client(server: ScriptedServer) -> Iterator[dl4mic_client.Client]:
    """Reaches the server by its Unix socket, like one on the same machine."""
    with dl4mic_client.connect(server.unix) as connected:
        yield connected


@pytest.fixture
def far_client(server: ScriptedServer) -> Iterator[dl4mic_client.Client]:
    """Reaches the server by TCP, like one elsewhere."""
    with dl4mic_client.connect(server.tcp) as connected:
        yield connected
