# SPDX-License-Identifier: BSD-3-Clause
"""`dl4mic clean` shows, asks, then deletes; `dl4mic doctor` says what to do, with a server and without."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from scripted_server import ScriptedServer

from dl4mic.v1.maintenance_pb2 import Finding, Removal
from dl4mic_client.cli import main
from dl4mic_client.cli.exit_codes import ExitCode

Run = Callable[..., Result]


@pytest.fixture
def run(server: ScriptedServer) -> Run:
    def run(*arguments: str, said: str = "") -> Result:
        return CliRunner().invoke(main, [*arguments, "--server", server.unix], input=said)

    return run


@pytest.fixture
def old(server: ScriptedServer) -> ScriptedServer:
    server.removals = [
        Removal(kind="JOB", name="train-1", size=3_000_000, last_use_time={"seconds": 86_400}),
        Removal(kind="UPLOAD", name="uploads:x", size=500),
    ]
    return server


def test_what_would_go_is_shown_and_asked_about(run: Run, old: ScriptedServer) -> None:
    result = run("clean", said="n\n")
    assert result.stdout.splitlines()[1].split()[:4] == ["job", "train-1", "3", "MB"]
    assert "2 things, 3 MB in all" in result.stdout
    assert result.exit_code != 0 and len(old.removals) == 2
    assert "Deleted 2 things, 3 MB freed." in run("clean", said="y\n").stdout
    assert [each.dry_run for each in old.cleans] == [True, True, False]
    assert "nothing that nobody needs" in run("clean").stdout


def test_a_dry_run_asks_nothing(run: Run, old: ScriptedServer) -> None:
    result = run("clean", "--dry-run", "--kind", "job", "--kind", "upload", "--older-than", "2d")
    assert result.exit_code == 0 and "uploads:x" in result.stdout
    assert old.cleans[0].older_than.seconds == 2 * 86_400
    assert list(old.cleans[0].kinds) == [Removal.JOB, Removal.UPLOAD]
    assert old.cleans[0].dry_run and len(old.cleans) == 1


def test_a_program_says_what_it_wants(run: Run, old: ScriptedServer) -> None:
    assert run("clean", "--json").exit_code == ExitCode.REFUSED
    answer = json.loads(run("clean", "--json", "--yes").stdout)
    assert answer["removal_count"] == 2 and answer["removals"][0]["kind"] == "JOB"
    assert old.removals == []


def test_a_duration_that_is_none_is_refused(run: Run) -> None:
    result = run("clean", "--older-than", "soon")
    assert result.exit_code == ExitCode.REFUSED and "'soon' is no duration" in result.stderr


def test_the_doctor_says_what_to_do_and_fails_on_a_fault(run: Run, server: ScriptedServer) -> None:
    server.findings = [Finding(subject="gpu", level="GOOD", message="GPU 0")]
    result = run("doctor")
    assert result.exit_code == ExitCode.OK
    assert "ok      gpu     GPU 0" in result.stdout
    server.findings += [
        Finding(subject="disk", level="FAULT", message="is full", hint="Free some space.")
    ]
    result = run("doctor")
    assert result.exit_code == ExitCode.FAULT_FOUND
    assert "FAULT   disk    is full" in result.stdout
    assert "Free some space." in result.stdout


def test_the_doctor_compares_clocks(run: Run, server: ScriptedServer) -> None:
    server.clock_ahead_seconds = -90.0
    found = json.loads(run("doctor", "--json").stdout)["findings"]
    clocks = [each for each in found if each["subject"] == "clock"]
    assert clocks[0]["level"] == "CAUTION" and "-90 s from this machine's" in clocks[0]["message"]


def test_the_doctor_works_without_a_server(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["doctor", "--server", f"unix://{tmp_path}/none.sock"])
    assert result.exit_code == ExitCode.FAULT_FOUND
    assert "FAULT   server  No server answers" in result.stdout
    assert "ok      client" in result.stdout


def test_the_doctor_looks_at_a_single_service_from_outside(tmp_path: Path) -> None:
    alone = ScriptedServer(tmp_path / "s", alone=True)
    try:
        result = CliRunner().invoke(main, ["doctor", "--server", alone.unix])
        refused = CliRunner().invoke(main, ["clean", "--dry-run", "--server", alone.unix])
    finally:
        alone.stop()
    assert result.exit_code == ExitCode.OK and "a single service answers" in result.stdout
    assert refused.exit_code == ExitCode.REFUSED
    assert "This server is a single service" in refused.stderr


def test_the_doctor_looks_at_what_an_embedded_server_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dl4mic_client.errors import Unreachable

    def fail(server: str | None = None) -> None:
        raise Unreachable("The server ended while it started.", "Its log says why.")

    monkeypatch.delenv("DL4MIC_SERVER", raising=False)
    monkeypatch.setenv("DL4MIC_WORKSPACE", str(tmp_path / "w" / "deep"))
    monkeypatch.setattr("dl4mic_client.client.connect", fail)
    monkeypatch.setattr("shutil.disk_usage", lambda _: shutil._ntuple_diskusage(0, 0, 1 << 30))
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    result = CliRunner().invoke(main, ["doctor"])
    assert result.exit_code == ExitCode.FAULT_FOUND
    for words in ("1.07 GB free", "free some space", "none is installed here", "ended while"):
        assert words in result.stdout
