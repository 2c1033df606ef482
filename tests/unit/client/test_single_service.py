# SPDX-License-Identifier: BSD-3-Clause
"""The command line against a service by itself, which has no catalogue and no models."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from scripted_server import ScriptedServer

from dl4mic_client.cli import main
from dl4mic_client.cli.exit_codes import ExitCode


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ScriptedServer]:
    scripted = ScriptedServer(tmp_path / "s", alone=True)
    yield scripted
    scripted.stop()


def run(server: ScriptedServer, *arguments: str) -> Result:
    return CliRunner().invoke(main, [*arguments, "--server", server.unix])


def test_its_network_is_listed(server: ScriptedServer) -> None:
    assert run(server, "networks").stdout.splitlines()[1].split()[0] == "mock"


@pytest.mark.parametrize("command", [["models"], ["model", "show", "nuclei"], ["nodes"]])
def test_what_it_has_not_is_said_in_words(server: ScriptedServer, command: list[str]) -> None:
    result = run(server, *command)
    assert result.exit_code == ExitCode.REFUSED
    assert "This server is a single service" in result.stderr
    assert "job:ID" in result.stderr


def test_a_model_is_the_job_that_trained_it(server: ScriptedServer, tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(b"x")
    images = str(tmp_path)
    trained = run(server, "train", "mock", "--source", images, "--target", images,
                  "--model", "nuclei", "--job", "t1")  # fmt: skip
    assert "Trained job:t1" in trained.stdout
    done = run(server, "predict", "job:t1", "--source", images)
    assert done.exit_code == 0
    assert server.requests[1].network == "mock"


def test_a_waiting_job_is_shown_without_a_catalogue(server: ScriptedServer, tmp_path: Path) -> None:
    server.script = server.script[:1]
    images = str(tmp_path)
    run(server, "train", "mock", "--source", images, "--target", images, "--model", "n",
        "--job", "t1", "--detach")  # fmt: skip
    assert run(server, "job", "show", "t1").stdout.startswith("t1: pending")
