# SPDX-License-Identifier: BSD-3-Clause
"""A server for others than its user, through the CLI: TLS, tokens that say who calls, a store on PostgreSQL."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import certificates
import grpc
import postgresql
import pytest

from dl4mic.v1.job_pb2 import Job
from dl4mic_orchestrator.store import Store

from .conftest import Orchestrator

New = Callable[..., Orchestrator]


@pytest.fixture(scope="module")
def database() -> Iterator[postgresql.Server]:
    try:
        with postgresql.running() as server:
            yield server
    except postgresql.PostgresqlMissingError as error:
        pytest.skip(str(error))


def dl4mic(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("DL4MIC_")}
    return subprocess.run(
        [sys.executable, "-m", "dl4mic_client", *words],
        env={**inherited, **variables},
        capture_output=True,
        text=True,
        timeout=240,
    )


def test_a_training_by_token_over_tls_with_its_record_on_postgresql(
    new_orchestrator: New,
    spots: Path,
    tmp_path: Path,
    database: postgresql.Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pair = certificates.make(tmp_path / "tls")
    tokens = tmp_path / "tokens"
    made = dl4mic("token", "alice", "--project", "lab1", "--tokens", str(tokens))
    token = made.stdout.strip()
    url = database.new_url()
    monkeypatch.setenv("DL4MIC_STORE_URL", url)
    flags = ["--tls-certificate", str(pair.certificate), "--tls-key", str(pair.key)]
    orchestrator = new_orchestrator(*flags, "--tokens", str(tokens), listen="localhost:0")
    known = {"DL4MIC_SERVER": orchestrator.address, "DL4MIC_CA": str(pair.certificate)}

    refused = dl4mic("jobs", **known)
    assert (refused.returncode, "has no token" in refused.stderr) == (2, True)

    known["DL4MIC_TOKEN"] = token
    training = ["train", "blur", "--source", "lab:train/images", "--target", "lab:train/masks"]
    training += ["--model", "spots", "--set", "epochs=1", "--job", "t1"]
    other = dl4mic(*training, "--project", "lab2", **known)
    assert (other.returncode, "for the project lab1" in other.stderr) == (2, True)
    done = dl4mic(*training, **known)
    assert done.returncode == 0, done.stderr
    record = json.loads(dl4mic("job", "show", "t1", "--json", **known).stdout)
    assert (record["project"], record["caller"], record["state"]) == ("lab1", "alice", "SUCCEEDED")

    assert not (orchestrator.workspace / "store.sqlite").exists()
    assert orchestrator.stop() == 0
    log = (orchestrator.workspace / "test.log").read_text()
    assert token not in log and "ListJobs" in log


def test_a_job_goes_on_while_the_database_is_away(
    new_orchestrator: New, database: postgresql.Server
) -> None:
    orchestrator = new_orchestrator("--store", database.new_url())
    orchestrator.train("t1", epochs=60, step_seconds=0.02)
    orchestrator.wait_for("t1", "progress")
    with database.away():
        for _ in range(3):
            with pytest.raises(grpc.RpcError) as caught:
                orchestrator.job("t1")
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
            assert "the server's database does not answer" in caught.value.details()
            time.sleep(0.5)
    job = orchestrator.wait("t1")
    assert (job.state, job.attempt) == (Job.SUCCEEDED, 1), job.error
    numbers = [event.sequence for event in orchestrator.events("t1")]
    assert numbers == list(range(1, len(numbers) + 1))


def test_a_second_server_on_the_same_database_is_refused(
    new_orchestrator: New, database: postgresql.Server, tmp_path: Path
) -> None:
    url = database.new_url()
    first = new_orchestrator("--store", url)
    workspace = tmp_path / "other"
    command = [sys.executable, "-m", "dl4mic_orchestrator", "--store", url]
    command += ["--workspace", str(workspace), "--listen", f"unix://{workspace}/s"]
    second = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert second.returncode == 1
    assert "another orchestrator works on the store's database" in second.stderr
    assert first.stop() == 0


def test_a_job_outlives_a_database_that_goes_away_again_and_again(
    new_orchestrator: New, database: postgresql.Server
) -> None:
    orchestrator = new_orchestrator("--store", database.new_url())
    orchestrator.train("t1", epochs=3, step_seconds=0.2)
    for _ in range(3):
        orchestrator.wait_for("t1", "metric", after=orchestrator.job("t1").last_sequence)
        database.cut()
    assert orchestrator.wait("t1").state == Job.SUCCEEDED
    events = orchestrator.events("t1")
    assert [each.sequence for each in events] == list(range(1, len(events) + 1))
    assert orchestrator.stop() == 0


def test_a_server_whose_store_another_has_taken_over_ends(
    new_orchestrator: New, database: postgresql.Server
) -> None:
    url = database.new_url()
    orchestrator = new_orchestrator("--store", url)
    database.cut()
    successor = Store(url)
    with pytest.raises(grpc.RpcError):
        orchestrator.train("late")
    assert orchestrator.process.wait(30) == 1
    log = (orchestrator.workspace / "test.log").read_text()
    assert "another orchestrator has taken the store over" in log
    assert successor.jobs.open_jobs() == []
    successor.close()
