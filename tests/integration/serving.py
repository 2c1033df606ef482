# SPDX-License-Identifier: BSD-3-Clause
"""A service by itself or an orchestrator over a folder, for tests that treat both alike, and what to wait for."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from servers import COMMANDS, Server

from dl4mic.v1.job_pb2 import GetJobRequest, Job, WatchJobRequest


@contextmanager
def running(
    kind: str,
    folder: Path,
    data: Path,
    *prefix: str,
    flags: Sequence[str] = (),
    variables: Mapping[str, str] | None = None,
) -> Iterator[Server]:
    """Serve over a folder; `prefix` begins the command line, `flags` end it."""
    socket = folder / "s.sock"
    command = COMMANDS[kind](folder, f"unix://{socket}", data)
    with (folder.parent / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [*prefix, *command, *flags],
            stdout=subprocess.PIPE,
            stderr=log,
            env={**os.environ, **(variables or {})},
        )
    assert process.stdout is not None
    if not process.stdout.readline():
        pytest.fail((folder.parent / "server.log").read_text())
    try:
        with grpc.insecure_channel(f"unix:{socket}") as channel:
            yield Server(kind, process, channel, data, folder)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def until(server: Server, job_id: str, kind: str, after: int = 0) -> None:
    request = WatchJobRequest(job_id=job_id, after_sequence=after)
    for event in server.jobs.WatchJob(request, timeout=240):
        if event.HasField(kind):  # type: ignore[arg-type]
            return
    pytest.fail(f"no {kind}: {job(server, job_id)}")


def job(server: Server, job_id: str) -> Job:
    return server.jobs.GetJob(GetJobRequest(job_id=job_id))


def wait_for(condition: Callable[[], bool], seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come about in time"
        time.sleep(0.05)
