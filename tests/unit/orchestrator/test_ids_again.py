# SPDX-License-Identifier: BSD-3-Clause
"""An id is free once its job was deleted: the next job of that id has nothing of the one before."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from dl4mic.v1.job_pb2 import DeleteJobRequest, Job
from dl4mic_orchestrator import trash
from dl4mic_orchestrator.api.job import JobApi
from dl4mic_orchestrator.api.room import Room
from dl4mic_orchestrator.records import JobState, Model
from dl4mic_orchestrator.registry import BentoContent, Origin, Registry
from dl4mic_orchestrator.store import Store
from dl4mic_orchestrator.trash import JobFolders

Place = Path | str


@pytest.fixture
def store(place: Place) -> Iterator[Store]:
    opened = Store(place)
    yield opened
    opened.close()


def send(store: Store, model: str = "m") -> None:
    job = Job(id="nightly", network="blur", project="default")
    job.train.model = model
    store.jobs.create(job)


def delete(store: Store) -> None:
    store.jobs.change_state("nightly", 1, JobState.FAILED)
    store.jobs.delete("nightly")


def trained(folder: Path, weights: bytes) -> Path:
    folder.mkdir()
    (folder / "model.json").write_text(json.dumps({"network": "blur"}))
    (folder / "weights").write_bytes(weights)
    return folder


@pytest.mark.parametrize("name", ["m", "other"])
def test_its_model_is_a_model_of_its_own(store: Store, tmp_path: Path, name: str) -> None:
    registry = Registry(store.models, BentoContent(tmp_path / "models"))
    send(store)
    old = registry.publish(trained(tmp_path / "old", b"old"), Origin("m", "blur", "p", "nightly"))
    delete(store)
    send(store, name)
    new = registry.publish(trained(tmp_path / "new", b"new"), Origin(name, "blur", "p", "nightly"))
    assert new.tag == ("m:2" if name == "m" else "other:1")
    assert (registry.folder(new) / "weights").read_bytes() == b"new"
    assert (registry.folder(old) / "weights").read_bytes() == b"old"
    makers = {model.tag: model.job_id for model in store.models.published()}
    assert makers == {"m:1": "", new.tag: "nightly"}


def test_a_version_that_was_taken_and_not_published_is_not_its(store: Store) -> None:
    send(store)
    store.models.reserve(Model("m", 0, "blur", "p", 1.0, "nightly"))
    delete(store)
    send(store, "other")
    assert store.models.reserve(Model("other", 0, "blur", "p", 1.0, "nightly")).tag == "other:1"


def test_its_scores_take_the_place_of_those_before(store: Store, tmp_path: Path) -> None:
    registry = Registry(store.models, BentoContent(tmp_path / "models"))
    for score in (0.5, 0.9):
        send(store)
        (tmp_path / "qc.json").write_text(json.dumps({"pooled": {"f1": score}}))
        registry.add_scores("nightly", tmp_path, {"m:1": "sha256:x"})
        delete(store)
    assert [each.values for each in store.models.scores("sha256:x")] == [{"f1": 0.9}]


def make_folder(workspace: Path) -> Path:
    folder = workspace / "jobs" / "nightly" / "1"
    folder.mkdir(parents=True)
    (folder / "events.jsonl").write_text("{}\n")
    return folder


def test_a_deletion_that_is_cut_leaves_nothing_in_its_place(
    store: Store, tmp_path: Path, room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = JobFolders(store.jobs, tmp_path / "jobs")
    api = JobApi(store.jobs, folders, room, lambda: None, lambda _: [])
    send(store)
    make_folder(tmp_path)
    store.jobs.change_state("nightly", 1, JobState.FAILED)
    monkeypatch.setattr(trash.shutil, "rmtree", lambda path, ignore_errors: None)
    assert api.DeleteJob(DeleteJobRequest(job_id="nightly"), None).freed_bytes == 3  # type: ignore[arg-type]
    assert not (tmp_path / "jobs" / "nightly").exists()
    (aside,) = (tmp_path / "trash").iterdir()
    assert (aside / "1" / "events.jsonl").exists()


def test_a_deletion_that_goes_on_leaves_its_folder_alone(store: Store, tmp_path: Path) -> None:
    folders = JobFolders(store.jobs, tmp_path / "jobs")
    send(store)
    folder = make_folder(tmp_path)
    delete(store)
    send(store)
    assert folders.delete("nightly") == 0 and folder.exists()
    delete(store)
    assert folders.delete("nightly") == 3 and not folder.exists()
    assert folders.delete("nightly") == 0
