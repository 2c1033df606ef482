# SPDX-License-Identifier: BSD-3-Clause
"""The servers that the suite runs against: a service by itself, and an orchestrator."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from servers import COMMANDS, Server, write_bad_spots, write_spots


@pytest.fixture(scope="session")
def spots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with train, test and predict parts."""
    root = tmp_path_factory.mktemp("data")
    for seed, (part, count) in enumerate({"train": 6, "test": 5}.items()):
        write_spots(root / part, count, seed)
    write_bad_spots(root / "bad")
    return root


@pytest.fixture(scope="session", params=["service", "orchestrator"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, spots: Path
) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp(request.param)
    address = f"unix://{folder}/s.sock"
    with (folder / "server.log").open("wb") as log:
        command = COMMANDS[request.param](folder, address, spots)
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log)
    try:
        assert process.stdout is not None
        announced = process.stdout.readline()
        if not announced:
            pytest.fail((folder / "server.log").read_text())
        assert json.loads(announced)["address"] == address
        channel = grpc.insecure_channel(f"unix:{folder}/s.sock")
        grpc.channel_ready_future(channel).result(timeout=30)
        yield Server(request.param, process, channel, spots)
        channel.close()
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
