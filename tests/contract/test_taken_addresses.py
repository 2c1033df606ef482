# SPDX-License-Identifier: BSD-3-Clause
"""A second server where one listens already: it says so and ends, and the first one and its jobs see nothing of it."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

from servers import COMMANDS, Server

from dl4mic.v1.job_pb2 import Job

WORDS = "another program listens there; end it, or name another address by --listen"


def assert_refused(
    server: Server, folder: Path, address: str, words: str = f"cannot listen on {{}}: {WORDS}"
) -> None:
    command = COMMANDS[server.kind](folder, address, server.data)
    second = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert second.returncode in (1, 2) and second.stdout == ""
    assert words.format(address) in second.stderr
    assert "Traceback" not in second.stderr


def test_at_a_servers_socket(server: Server, tmp_path: Path) -> None:
    """Of a service even with the jobs' folder of the first: its running job must not be taken for a dead host's."""
    server.train("beside-a-second", epochs=3, step_seconds=0.25)
    folder = server.folder if server.kind == "service" else tmp_path
    assert_refused(server, folder, f"unix://{server.folder}/s.sock")
    job = server.wait("beside-a-second")
    assert (job.state, job.attempt) == (Job.SUCCEEDED, 1), job.error


def test_in_a_servers_folder(server: Server) -> None:
    server.train("beside-another", epochs=3, step_seconds=0.25)
    kept = {"service": "cannot have ", "orchestrator": "another orchestrator works in "}[
        server.kind
    ]
    assert_refused(server, server.folder, "localhost:0", kept + str(server.folder))
    job = server.wait("beside-another")
    assert (job.state, job.attempt) == (Job.SUCCEEDED, 1), job.error


def test_at_a_port_of_another_program(server: Server, tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        assert_refused(server, tmp_path, f"127.0.0.1:{other.getsockname()[1]}")
