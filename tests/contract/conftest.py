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
from refusals import Refusal, Refuse, Request, assert_unharmed, refusal_of, write_model
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
        yield Server(request.param, process, channel, spots, folder)
        channel.close()
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


@pytest.fixture(scope="module")
def afar(server: Server, tmp_path_factory: pytest.TempPathFactory, spots: Path) -> Iterator[Server]:
    """A server of the same kind that is called by TCP."""
    folder = tmp_path_factory.mktemp("afar")
    command = COMMANDS[server.kind](folder, "127.0.0.1:0", spots)
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log)
    try:
        assert process.stdout is not None
        address = json.loads(process.stdout.readline())["address"]
        with grpc.insecure_channel(address) as channel:
            yield Server(server.kind, process, channel, spots, folder)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of a model that can be used."""
    folder = tmp_path_factory.mktemp("model")
    write_model(folder)
    return folder


@pytest.fixture
def refuse(server: Server) -> Iterator[Refuse]:
    """Send what must be refused; afterwards nothing of it is published, and the server answers."""
    jobs: list[str] = []

    def send(request: Request) -> Refusal:
        refusal = refusal_of(server, request)
        jobs.extend([refusal.job_id] if refusal.job_id else [])
        return refusal

    yield send
    assert_unharmed(server, jobs)
