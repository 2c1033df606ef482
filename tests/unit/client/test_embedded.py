# SPDX-License-Identifier: BSD-3-Clause
"""The embedded orchestrator is found, started once, started again, and kept private."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

import dl4mic_client
from dl4mic_client.embedded import Embedded, workspace_folder

STAND_IN = """
import os, pathlib, sys, time
options = dict(zip(sys.argv[1::2], sys.argv[2::2]))
workspace = pathlib.Path(options["--workspace"])
print("it begins", flush=True)
if (workspace / "busy").exists():
    (workspace / "busy").unlink()
    sys.exit("another one works here")
if (workspace / "broken").exists():
    sys.exit("the store is damaged")
from dl4mic import server
from dl4mic.v1 import job_pb2, job_pb2_grpc
class Jobs(job_pb2_grpc.JobServiceServicer):
    def ListJobs(self, request, context):
        return job_pb2.ListJobsResponse(jobs=[job_pb2.Job(id=str(os.getpid()))])
time.sleep(0.3)  # as long as a slow start, so that two commands meet in it
add = job_pb2_grpc.add_JobServiceServicer_to_server
listening = server.listen("unix://" + options["--socket"], {add: Jobs()}, workers=4)
with (workspace / "starts").open("a") as file:
    file.write(f"{os.getpid()} {' '.join(sys.argv[1:])}\\n")
time.sleep(60)
"""


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    package = tmp_path / "packages" / "dl4mic_orchestrator"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(STAND_IN)
    monkeypatch.syspath_prepend(str(package.parent))
    monkeypatch.delitem(sys.modules, "dl4mic_orchestrator", raising=False)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(package.parent), *sys.path]))
    folder = tmp_path / "workspace"
    yield folder
    for process in started(folder):
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def started(workspace: Path) -> list[int]:
    record = workspace / "starts"
    lines = record.read_text().splitlines() if record.exists() else []
    return [int(line.split()[0]) for line in lines]


def test_it_is_started_in_the_background_and_then_found(workspace: Path) -> None:
    with dl4mic_client.connect() as client:
        first = client.jobs()[0].id
        assert client.workspace == workspace
    with dl4mic_client.connect() as client:
        assert client.jobs()[0].id == first
    assert started(workspace) == [int(first)]
    assert os.getsid(int(first)) == int(first)
    command = (workspace / "starts").read_text()
    assert command.endswith(f"--workspace {workspace} --exit-when-idle 60\n")
    assert "it begins" in (workspace / "server.log").read_text()


def test_two_commands_at_once_start_one_server(workspace: Path) -> None:
    code = "from dl4mic_client.embedded import Embedded; Embedded.of_environment().ensure()"
    commands = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
    assert [command.wait(30) for command in commands] == [0, 0]
    assert len(started(workspace)) == 1


def test_one_that_has_gone_is_started_again_by_the_next_call(workspace: Path) -> None:
    with dl4mic_client.connect() as client:
        first = client.jobs()[0].id
        os.kill(int(first), signal.SIGKILL)
        time.sleep(0.1)
        assert client.jobs()[0].id != first
    assert len(started(workspace)) == 2


def test_one_that_was_just_ending_is_waited_for(workspace: Path) -> None:
    workspace.mkdir(mode=0o700)
    (workspace / "busy").touch()
    dl4mic_client.connect().close()
    assert len(started(workspace)) == 1


def test_one_that_cannot_start_says_why(workspace: Path) -> None:
    workspace.mkdir(mode=0o700)
    (workspace / "broken").touch()
    with pytest.raises(dl4mic_client.Unreachable, match="the store is damaged") as caught:
        dl4mic_client.connect()
    assert str(workspace / "server.log") in caught.value.hint


def test_one_that_is_not_installed(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(dl4mic_client.Unreachable, match="not installed"):
        dl4mic_client.connect()


def test_the_services_are_named_where_the_environment_names_them(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DL4MIC_SERVICES", "somewhere")
    dl4mic_client.connect().close()
    assert f"--services {Path.cwd() / 'somewhere'}" in (workspace / "starts").read_text()


def test_the_workspace_is_private(workspace: Path) -> None:
    dl4mic_client.connect().close()
    assert workspace.stat().st_mode & 0o777 == 0o700
    assert Embedded.of_environment().socket == workspace / "server.sock"


def test_a_long_or_open_workspace_has_its_socket_in_a_private_folder_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    long = Embedded(tmp_path / ("x" * 100))
    opened = tmp_path / "open"
    opened.mkdir(mode=0o755)
    for embedded in (long, Embedded(opened)):
        assert embedded.socket.parent.parent == tmp_path
        assert str(embedded.socket.parent.name).startswith("dl4mic-")
    assert long.socket != Embedded(opened).socket


def test_a_folder_that_others_can_enter_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    embedded = Embedded(tmp_path / ("x" * 100))
    embedded.socket.parent.mkdir(mode=0o755)
    with pytest.raises(dl4mic_client.ClientError, match="can be opened by others"):
        embedded.ensure()


def test_the_workspace_that_is_meant(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("DL4MIC_WORKSPACE")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert workspace_folder() == tmp_path / "dl4mic"
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert workspace_folder() == tmp_path / ".local" / "share" / "dl4mic"
