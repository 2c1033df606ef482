# SPDX-License-Identifier: BSD-3-Clause
"""Who uses the data on a server is said before and after a deletion."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from click.testing import CliRunner, Result
from scripted_server import ScriptedServer

from dl4mic.v1 import job_pb2, model_pb2
from dl4mic_client.cli import main
from dl4mic_client.uses import Use

Run = Callable[..., Result]


@pytest.fixture
def run(server: ScriptedServer) -> Run:
    def run(*arguments: str) -> Result:
        return CliRunner().invoke(main, [*arguments, "--server", server.unix])

    return run


@pytest.fixture
def used(server: ScriptedServer) -> ScriptedServer:
    """One dataset that a model was trained on, which an open job predicts, and one that nobody uses."""
    server.files = {"uploads:x/a.tif": b"12345", "uploads:x/b.tif": b"1", "uploads:y/c.tif": b"1"}
    trained = job_pb2.Job(id="t1", state="SUCCEEDED", train={"data": {"source": "uploads:x"}})
    opened = job_pb2.Job(id="p1", state="RUNNING", predict={"data": {"source": "uploads:x/a.tif"}})
    server.jobs = {"t1": trained, "p1": opened}
    server.models["nuclei:1"] = model_pb2.Model(name="nuclei", version=1, job_id="t1")
    return server


def test_the_list_shows_size_and_use(run: Run, used: ScriptedServer) -> None:
    lines = run("data", "list").stdout.splitlines()
    assert "USED BY" in lines[0]
    assert lines[1].endswith("job p1, model nuclei:1")
    assert lines[2].endswith("model nuclei:1") and "job" not in lines[2]
    assert not lines[3].endswith("nuclei:1")
    assert lines[4] == "3 files, 7 B in all"
    entries = json.loads(run("data", "list", "--json").stdout)["entries"]
    assert [each["used_by"] for each in entries] == [
        ["job p1", "model nuclei:1"],
        ["model nuclei:1"],
        [],
    ]


def test_a_deletion_names_the_models_that_stay(run: Run, used: ScriptedServer) -> None:
    assert "Trained on it, and still there: nuclei:1" in run("data", "delete", "uploads:x").stdout
    answer = json.loads(run("data", "delete", "uploads:y", "--json").stdout)
    assert answer == {"deleted_files": 1, "freed_bytes": "1", "models": []}


def test_a_deleted_job_names_its_model(run: Run, server: ScriptedServer) -> None:
    server.jobs["t1"] = job_pb2.Job(id="t1", model="nuclei:1", train={"model": "nuclei"})
    assert "Its model nuclei:1 stays." in run("job", "delete", "t1").stdout


def test_a_record_that_is_gone_names_no_use(run: Run, used: ScriptedServer) -> None:
    del used.jobs["t1"]
    assert run("data", "list", "uploads:y").exit_code == 0


@pytest.mark.parametrize(
    ("used", "location", "concerned"),
    [
        ("uploads:x", "uploads:x/a.tif", True),
        ("uploads:x/a.tif", "uploads:x", True),
        ("uploads:", "uploads:x", True),
        ("uploads:x/", "uploads:x", True),
        ("uploads:x", "uploads:xy", False),
        ("lab:x", "uploads:x", False),
    ],
)
def test_what_a_use_concerns(used: str, location: str, concerned: bool) -> None:
    assert Use(used, "job a").concerns(location) is concerned
