# SPDX-License-Identifier: BSD-3-Clause
"""Each fault of a worker has its name, in a service by itself and through the orchestrator, and what was done stays."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from servers import COMMANDS, Server

from dl4mic.v1.data_pb2 import ModelReference
from dl4mic.v1.job_pb2 import Job, JobError, JobEvent, ReadLogRequest, WatchJobRequest
from dl4mic.v1.network_pb2 import ImageHeader, PredictImageRequest

PATIENCE = {"service": ["--silence", "6"], "orchestrator": ["--heartbeat-timeout", "9"]}
"""Six seconds for a worker; the orchestrator takes nine for an instance."""


@pytest.fixture(scope="module", params=["service", "orchestrator"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, spots: Path
) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp(request.param)
    command = COMMANDS[request.param](folder, f"unix://{folder}/s.sock", spots)
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, *PATIENCE[request.param]], stdout=subprocess.PIPE, stderr=log
        )
    assert process.stdout is not None
    if not process.stdout.readline():
        pytest.fail((folder / "server.log").read_text())
    with grpc.insecure_channel(f"unix:{folder}/s.sock") as channel:
        yield Server(request.param, process, channel, spots, folder)
    process.send_signal(signal.SIGTERM)
    process.wait(60)


def log_of(server: Server, job_id: str, attempt: int = 1) -> str:
    return server.jobs.ReadLog(ReadLogRequest(job_id=job_id, attempt=attempt)).text


@pytest.mark.parametrize(
    ("fault", "code", "attempts", "words", "logged"),
    [
        ("memory", JobError.OUT_OF_MEMORY, 1, "memory ran out", "MemoryError"),
        ("limit", JobError.OUT_OF_MEMORY, 1, "memory ran out", "Unable to allocate"),
        ("disk", JobError.DISK_FULL, 1, "the disk is full", "No space left on device"),
        ("exception", JobError.INTERNAL, 2, "ValueError: asked to fail", "Traceback"),
        ("exit", JobError.INTERNAL, 2, "SystemExit: asked to leave", "SystemExit"),
        ("leave", JobError.CRASHED, 2, "ended in mid-job with status 0", "computing"),
        ("segfault", JobError.CRASHED, 2, "SIGSEGV: native code", "Segmentation fault"),
        ("bus", JobError.CRASHED, 2, "SIGBUS: native code", "Bus error"),
        ("abort", JobError.CRASHED, 2, "SIGABRT: native code", "in go_wrong"),
        ("hang", JobError.UNRESPONSIVE, 2, "no sign of life for 6 s", "in go_wrong"),
    ],
)
def test_a_fault_has_its_name_a_hint_and_a_record(
    server: Server, fault: str, code: JobError.Code, attempts: int, words: str, logged: str
) -> None:
    server.train(fault, fault=fault)
    job = server.wait(fault)
    assert (job.state, job.error.code, job.attempt) == (Job.FAILED, code, attempts), job.error
    assert words in job.error.message and job.error.hint
    assert "Traceback" not in job.error.message + job.error.hint
    assert logged in log_of(server, fault)
    events = server.events(fault)
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert any(event.HasField("checkpoint") for event in events)
    assert server.processes_of(fault) == []


def test_the_hint_names_what_to_lower(server: Server) -> None:
    server.train("lower", fault="memory")
    assert "patch_size" in server.wait("lower").error.hint


def worker_of(server: Server, job_id: str) -> int:
    (worker,) = server.processes_of(job_id, "dl4mic_sdk.worker")
    return worker


def until(server: Server, job_id: str, kind: str) -> None:
    for event in server.jobs.WatchJob(WatchJobRequest(job_id=job_id), timeout=120):
        if event.HasField(kind):  # type: ignore[arg-type]
            return
    pytest.fail(f"no {kind}")


def failures(events: list[JobEvent]) -> list[JobError]:
    return [event.state.error for event in events if event.state.HasField("error")]


@pytest.mark.parametrize(
    ("number", "code", "words"),
    [
        (signal.SIGKILL, JobError.CRASHED, "SIGKILL from outside"),
        (signal.SIGTERM, JobError.CRASHED, "asked to end from outside"),
        (signal.SIGSTOP, JobError.UNRESPONSIVE, "no sign of life for 6 s"),
    ],
)
def test_a_signal_from_outside_is_named_and_the_job_goes_on(
    server: Server, number: signal.Signals, code: JobError.Code, words: str
) -> None:
    job_id = number.name.lower()
    server.train(job_id, epochs=8, step_seconds=0.05)
    until(server, job_id, "checkpoint")
    os.kill(worker_of(server, job_id), number)
    job = server.wait(job_id)
    assert (job.state, job.attempt) == (Job.SUCCEEDED, 2), job.error
    events = server.events(job_id)
    assert failures(events)[0].code == code
    assert words in failures(events)[0].message
    resumed = [
        each.progress.done for each in events if each.attempt == 2 and each.HasField("progress")
    ]
    assert resumed[0] > 1


def test_a_worker_that_computes_for_long_is_no_hang(server: Server) -> None:
    """It beats from a thread of its own, as long as it leaves the interpreter's lock now and then."""
    server.train("long", epochs=1, steps_per_epoch=1, step_seconds=9.0)
    assert server.wait("long").state == Job.SUCCEEDED
    assert server.wait("long").attempt == 1


def test_a_silent_instance_is_replaced(server: Server) -> None:
    """Host and worker stopped at once: only the orchestrator is left to notice."""
    if server.kind == "service":
        pytest.skip("nobody looks after a service by itself")
    server.train("still", epochs=8, step_seconds=0.05)
    until(server, "still", "checkpoint")
    worker = worker_of(server, "still")
    host = int(Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()[1])
    for process in (host, worker):
        os.kill(process, signal.SIGSTOP)
    job = server.wait("still")
    assert (job.state, job.attempt) == (Job.SUCCEEDED, 2), job.error
    failure = failures(server.events("still"))[0]
    assert (failure.code, failure.message) == (
        JobError.UNRESPONSIVE,
        "no sign of life for 9 s",
    )


def one_image(model: str, fault: str) -> Iterator[PredictImageRequest]:
    header = PredictImageRequest.Header(network="blur", model=ModelReference(name=model))
    header.image.CopyFrom(ImageHeader(axes="YX", shape=[32, 32], dtype="uint8"))
    header.parameters["fault"].text = fault
    yield PredictImageRequest(header=header)
    yield PredictImageRequest(chunk=bytes(32 * 32))


@pytest.mark.parametrize(
    ("fault", "words"), [("hang", "no sign of life for 6 s"), ("leave", "the worker ended")]
)
def test_the_worker_of_single_images_is_replaced_by_one_that_answers(
    server: Server, fault: str, words: str
) -> None:
    server.train(f"for-{fault}", epochs=1)
    model = server.wait(f"for-{fault}").model
    with pytest.raises(grpc.RpcError) as caught:
        list(server.networks.PredictImage(one_image(model, fault), timeout=60))
    assert words in caught.value.details()
    answers = server.networks.PredictImage(one_image(model, "none"), timeout=60)
    assert any(each.HasField("header") for each in answers)
