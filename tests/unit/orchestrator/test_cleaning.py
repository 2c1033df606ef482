# SPDX-License-Identifier: BSD-3-Clause
"""What a clean-up takes, and what stays: open jobs' needs, models' lineage, and what is in use."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from dl4mic.locations import Locations
from dl4mic.v1.job_pb2 import Job
from dl4mic_orchestrator.cleaning import (
    Candidate,
    Kind,
    Retention,
    decide,
    of_jobs,
    of_uploads,
    spared,
)
from dl4mic_orchestrator.dependents import JobFacts
from dl4mic_orchestrator.environments import unused
from dl4mic_orchestrator.inventory import Inventory
from dl4mic_orchestrator.records import JobState, Model
from dl4mic_orchestrator.settings import Settings
from dl4mic_orchestrator.store import Store
from dl4mic_orchestrator.trash import JobFolders
from dl4mic_orchestrator.uses import Uses

ENDED, OPEN = JobState.FAILED, JobState.RUNNING
UPLOADS = Path("/w/uploads")
EVERYTHING = dict.fromkeys(Kind, 0.0)


def model(job_id: str, tag: str = "m:1") -> Model:
    name, _, version = tag.partition(":")
    return Model(
        name, int(version), "blur", "default", 1.0, job_id, 5, f"sha256:{job_id}", "", "{}"
    )


def reasons(candidates: object) -> dict[str, str]:
    return {each.name: each.needed for each in candidates}  # type: ignore[attr-defined]


def test_age_decides_where_nothing_needs_it() -> None:
    def upload(name: str, last_use: float, needed: str = "") -> Candidate:
        return Candidate(Kind.UPLOAD, name, Path(name), last_use, needed)

    candidates = [upload("old", 10.0), upload("new", 95.0), upload("needed", 1.0, "by b")]
    verdict = decide(candidates, 100.0, {Kind.UPLOAD: 50.0})
    assert [each.name for each in verdict.go] == ["old"]
    assert [each.name for each in verdict.stay] == ["needed"]
    assert decide(candidates, 100.0, {Kind.JOB: 0.0}).go == ()


def test_what_is_asked_for_overrules_the_retention() -> None:
    retention = Retention(jobs_days=2, uploads_days=1)
    assert spared(retention, [Kind.JOB], None) == {Kind.JOB: 2 * 86400}
    assert spared(retention, [Kind.JOB], 5.0) == {Kind.JOB: 5.0}
    assert set(spared(retention, [], None)) == set(Kind)


def test_jobs_that_are_needed_stay() -> None:
    jobs = [
        JobFacts("open", OPEN, depends_on=("source",)),
        JobFacts("source", ENDED),
        JobFacts("trained", JobState.SUCCEEDED, made="m:1"),
        JobFacts("its-model-is-gone", JobState.SUCCEEDED, made="m:2"),
    ]
    found = reasons(of_jobs(jobs, [model("trained")], Path("/w/jobs")))
    assert found == {
        "source": "the open job open needs it",
        "trained": "the model m:1 came from it",
        "its-model-is-gone": "",
    }


def test_uploads_that_are_needed_stay() -> None:
    jobs = [
        JobFacts("open", OPEN, places=(UPLOADS / "read" / "images",)),
        JobFacts("trained", JobState.SUCCEEDED, places=(UPLOADS / "learnt",), made="m:1"),
        JobFacts("failed", ENDED, last_use=70.0, places=(UPLOADS / "tried",)),
    ]
    there = dict.fromkeys(["read", "learnt", "tried", "forgotten"], 5.0)
    found = list(of_uploads(UPLOADS, there, jobs, [model("trained")]))
    assert reasons(found) == {
        "uploads:read": "the open job open needs it",
        "uploads:learnt": "the model m:1 was trained on it",
        "uploads:tried": "",
        "uploads:forgotten": "",
    }
    assert [each.last_use for each in found] == [5.0, 5.0, 70.0, 5.0]


def test_an_open_job_over_all_uploads_keeps_them_all() -> None:
    jobs = [JobFacts("open", OPEN, places=(UPLOADS,))]
    assert all(reasons(of_uploads(UPLOADS, {"a": 0.0, "b": 0.0}, jobs, [])).values())


class Workspace:
    """A workspace with its store, and an inventory of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        places = (folder / "environments", folder, folder / "store.sqlite")
        self.settings = Settings(folder, folder, (), "localhost:0", *places)
        for path in ("jobs", "uploads", "models", "environments"):
            (folder / path).mkdir()
        self.store = Store(folder / "store.sqlite")
        locations = Locations({}, folder / "uploads", lambda job_id: folder / "jobs" / job_id)
        self.busy: set[Path] = set()
        self.wanted: set[Path] = set()
        self.inventory = Inventory(
            self.settings,
            self.store,
            JobFolders(self.store.jobs, folder / "jobs"),
            Uses(self.store, locations),
            lambda: self.wanted,
            lambda path: path in self.busy,
        )

    def job(self, job_id: str, source: str = "", ended: bool = True) -> None:
        job = Job(id=job_id, network="blur", project="default")
        job.train.data.source = source
        self.store.jobs.create(job)
        self.write(f"jobs/{job_id}/1/stderr.log")
        if ended:
            self.store.jobs.change_state(job_id, 1, ENDED)

    def write(self, name: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"12345")
        return path

    def would_go(self, now: float = 1e12) -> set[str]:
        return {each.name for each in self.inventory.verdict(now, EVERYTHING).go}

    def clean(self) -> set[str]:
        verdict = self.inventory.verdict(1e12, EVERYTHING)
        return {each.name for each in verdict.go if self.inventory.remove(each)}


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


KEY = "blur-0123456789abcdef"


def test_each_kind_is_found_and_goes_and_the_second_time_nothing_is_left(
    workspace: Workspace,
) -> None:
    workspace.job("done")
    workspace.job("open", ended=False)
    workspace.write("jobs/done/1/request.json.partial")
    workspace.write("jobs/open/1/request.json.partial")
    workspace.write("jobs/lost/1/stderr.log")
    workspace.write("uploads/x/a.tif")
    workspace.write("uploads/y.tif.dl4mic-part")
    workspace.write("models/models/m/3/model.json")
    workspace.write("trash/x-1/a.tif")
    workspace.wanted = {workspace.folder / "environments" / "blur-now"}
    for name in ("blur-now", KEY, f".{KEY}-ab_1", ".build-x"):
        workspace.write(f"environments/{name}/bin/python")
    expected = {
        "done",
        "jobs/done/1/request.json.partial",
        "jobs/lost",
        "uploads:x",
        "uploads/y.tif.dl4mic-part",
        "models/models/m/3",
        "trash/x-1",
        f"environments/{KEY}",
        f"environments/.{KEY}-ab_1",
        "environments/.build-x",
    }
    assert workspace.would_go() == expected
    assert workspace.would_go(now=0.0) == set()
    workspace.clean()
    assert workspace.clean() == set()
    files = (path for path in workspace.folder.rglob("*") if path.is_file())
    left = {path.relative_to(workspace.folder).as_posix() for path in files}
    assert {name for name in left if not name.startswith("store.sqlite")} == {
        "jobs/open/1/stderr.log",
        "jobs/open/1/request.json.partial",
        "environments/blur-now/bin/python",
    }
    assert [job.id for job in workspace.store.jobs.open_jobs()] == ["open"]


def candidate(workspace: Workspace, name: str) -> Candidate:
    found = workspace.inventory.verdict(1e12, EVERYTHING).go
    return next(each for each in found if each.name == name)


def test_what_became_needed_meanwhile_is_put_back(workspace: Workspace) -> None:
    workspace.write("uploads/x/a.tif")
    workspace.job("source")
    upload, job = candidate(workspace, "uploads:x"), candidate(workspace, "source")
    workspace.job("new", "uploads:x", ended=False)
    chained = Job(id="next", network="blur", project="default")
    chained.train.parent.name = "job:source"
    workspace.store.jobs.create(chained, ["source"])
    assert not workspace.inventory.remove(upload) and not workspace.inventory.remove(job)
    assert (workspace.folder / "uploads/x/a.tif").read_bytes() == b"12345"
    assert (workspace.folder / "jobs/source/1/stderr.log").exists()


def test_what_is_being_written_stays(workspace: Workspace) -> None:
    partial = workspace.write("uploads/deep/y.tif.dl4mic-part")
    workspace.busy = {partial.with_name("y.tif"), workspace.folder / "uploads/deep"}
    assert workspace.clean() == set()
    assert partial.exists()


def test_a_job_that_was_opened_again_stays(workspace: Workspace) -> None:
    workspace.job("done")
    found = candidate(workspace, "done")
    workspace.store.jobs.open_by_hand("done")
    assert not workspace.inventory.remove(found)
    assert workspace.store.jobs.message("done").attempt == 2


def test_a_deletion_that_was_cut_is_finished(workspace: Workspace) -> None:
    workspace.job("done")
    workspace.store.jobs.delete("done")  # and then the process dies
    left = candidate(workspace, "jobs/done")
    workspace.job("done", ended=False)
    assert not workspace.inventory.remove(left)  # the id is another job's now
    workspace.store.jobs.change_state("done", 1, ENDED)
    workspace.store.jobs.delete("done")
    assert workspace.clean() == {"jobs/done"}


@pytest.mark.parametrize("place", [KEY, "wheels/0123456789abcdef"])
def test_an_environment_in_the_making_stays(place: str, workspace: Workspace) -> None:
    environments = workspace.folder / "environments"
    workspace.write(f"environments/{place}/bin/x")
    half = f".{KEY}-ab" if place == KEY else "._wheels-0123456789abcdef-ab"
    workspace.write(f"environments/{half}/x")
    with unused(environments / place) as free:
        assert free
        assert workspace.clean() == set()
    assert len(workspace.clean()) == 2


def test_an_environment_that_a_process_runs_in_stays(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = workspace.write(f"environments/{KEY}/bin/python")
    module = "dl4mic_orchestrator.backends.processes.command_lines"
    monkeypatch.setattr(module, lambda: iter([f"{python} -m dl4mic_sdk serve"]))
    assert workspace.clean() == set()
    verdict = workspace.inventory.verdict(1e12, EVERYTHING)
    assert reasons(verdict.stay) == {f"environments/{KEY}": "a running process uses it"}


def test_our_own_process_is_among_the_command_lines() -> None:
    from dl4mic_orchestrator.backends.processes import command_lines

    assert any("pytest" in line for line in command_lines())


def test_an_environment_is_kept_as_long_as_it_is_used(workspace: Workspace) -> None:
    old, used = (workspace.folder / "environments" / f"blur-{n}" for n in "12")
    for place in (old, used):
        place.mkdir()
        os.utime(place, (1.0, 1.0))
    os.utime(used)
    verdict = workspace.inventory.verdict(time.time(), {Kind.ENVIRONMENT: 60.0})
    assert [each.path for each in verdict.go] == [old]
