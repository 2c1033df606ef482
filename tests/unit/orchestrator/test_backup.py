# SPDX-License-Identifier: BSD-3-Clause
"""Back-ups: made beside a running server, whole or not at all, and every model of them comes back."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import tarfile
import threading
from pathlib import Path

import pytest
from postgresql import Server

from dl4mic.v1.job_pb2 import Job
from dl4mic_orchestrator.administer import main
from dl4mic_orchestrator.backends.local import LEFT_BEHIND
from dl4mic_orchestrator.backup import BackupError, back_up, read_manifest, restore
from dl4mic_orchestrator.records import Grant, Instance, InstanceState, JobState, Model
from dl4mic_orchestrator.registry import BentoContent, Origin, Registry
from dl4mic_orchestrator.store import Store
from dl4mic_orchestrator.store.jobs import Filter
from dl4mic_orchestrator.store.transcript import load


class Workspace:
    """A workspace as a server leaves it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.store = Store(folder / "store.sqlite")
        self.registry = Registry(self.store.models, BentoContent(folder / "models"))

    def publish(self, job_id: str, content: bytes = b"weights") -> Model:
        made = self.folder / "jobs" / job_id / "artifacts" / "model"
        made.mkdir(parents=True)
        (made / "model.json").write_text(json.dumps({"network": "blur"}))
        (made / "weights").write_bytes(content)
        self.store.jobs.create(Job(id=job_id, network="blur", train={"model": "m"}))
        model = self.registry.publish(made, Origin("m", "blur", "default", job_id))
        for state in (JobState.STARTING, JobState.SUCCEEDED):
            self.store.jobs.change_state(job_id, 1, state)
        return model


@pytest.fixture
def old(tmp_path: Path) -> Workspace:
    workspace = Workspace(tmp_path / "old")
    workspace.publish("a")
    workspace.publish("b", b"other weights")
    workspace.store.models.set_alias(workspace.store.models.find("m:1"), "stable")
    return workspace


def check_whole(restored: Path, old: Workspace) -> None:
    """Read every model through the registry, which compares digests."""
    new = Workspace(restored)
    assert new.store.models.published() == old.store.models.published()
    for model in new.store.models.published():
        new.registry.folder(model)


@pytest.mark.parametrize("name", ["backup", "backup.tar"])
def test_what_was_backed_up_comes_back(name: str, old: Workspace, tmp_path: Path) -> None:
    report = back_up(old.folder, tmp_path / name)
    assert (report.models, report.copied, report.jobs, report.broken) == (2, 2, 2, ())
    restore(tmp_path / name, tmp_path / "new")
    check_whole(tmp_path / "new", old)
    new = Workspace(tmp_path / "new")
    assert new.store.jobs.message("a") == old.store.jobs.message("a")
    assert new.store.jobs.events("a", 0) == old.store.jobs.events("a", 0)
    assert not (tmp_path / "new" / "jobs").exists()
    assert new.registry.delete(new.store.models.find("m:2")) > 0
    assert {each.name for each in tmp_path.iterdir()} == {"old", "new", name}


def test_the_second_time_only_what_is_new_is_copied(old: Workspace, tmp_path: Path) -> None:
    target = tmp_path / "backup"
    back_up(old.folder, target)
    old.publish("c")
    old.registry.delete(old.store.models.find("m:2"))
    report = back_up(old.folder, target)
    assert (report.models, report.copied) == (2, 1)
    assert sorted(path.name for path in (target / "models" / "m").iterdir()) == ["1", "3"]
    assert len(list(target.glob("store-*"))) == 1
    restore(target, tmp_path / "new")
    check_whole(tmp_path / "new", old)


def test_a_backup_that_was_cut_leaves_the_one_before_whole(
    old: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "backup"
    back_up(old.folder, target)
    before = read_manifest(target)
    old.publish("c")
    real = shutil.copytree

    def die(source: Path, goal: Path, **more: object) -> None:
        real(source, goal)
        (goal / "weights").write_bytes(b"half")
        raise OSError("the disk is full")

    monkeypatch.setattr(shutil, "copytree", die)
    with pytest.raises(OSError, match="disk is full"):
        back_up(old.folder, target)
    monkeypatch.undo()
    assert read_manifest(target) == before
    restore(target, tmp_path / "new")
    assert len(Workspace(tmp_path / "new").store.models.published()) == 2
    assert back_up(old.folder, target).copied == 1


def test_artifacts_come_along_when_asked(old: Workspace, tmp_path: Path) -> None:
    old.store.jobs.create(Job(id="open", network="blur", train={"model": "m"}))
    (old.folder / "jobs" / "open" / "artifacts").mkdir(parents=True)
    target = tmp_path / "backup"
    back_up(old.folder, target, with_artifacts=True)
    restore(target, tmp_path / "new")
    published = tmp_path / "new" / "jobs"
    assert sorted(path.name for path in published.iterdir()) == ["a", "b"]
    assert (published / "a" / "artifacts" / "model" / "weights").read_bytes() == b"weights"


def test_a_damaged_model_is_named_and_the_rest_backed_up(old: Workspace, tmp_path: Path) -> None:
    damaged = old.folder / "models" / "models" / "m" / "2" / "weights"
    damaged.write_bytes(b"changed")
    report = back_up(old.folder, tmp_path / "backup")
    assert (report.models, report.broken) == (1, ("m:2",))
    assert main(["backup", str(tmp_path / "again"), "--workspace", str(old.folder)]) == 7


def test_a_full_disk_is_named_and_no_model_is_blamed(
    old: Workspace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    target, workspace = tmp_path / "backup", ["--workspace", str(old.folder)]
    back_up(old.folder, target)
    before = read_manifest(target)
    old.publish("c")

    def fill_up(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/kept/weights")

    monkeypatch.setattr(shutil, "copyfile", fill_up)
    assert main(["backup", str(target), *workspace]) == 7
    assert main(["restore", str(target), "--workspace", str(tmp_path / "new")]) == 7
    said = capsys.readouterr().err
    assert said.count("No space left on device") == 2
    assert "model" not in said and "damaged" not in said
    monkeypatch.undo()
    assert read_manifest(target) == before and not (tmp_path / "new").exists()
    assert back_up(old.folder, target).copied == 1


def test_a_store_for_which_there_is_no_room_is_an_error_in_words(
    old: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The system's limit of a file's size stands for a disk that is full; SQLite gives it an error of its own."""
    command = ["sh", "-c", 'ulimit -f 8 && exec "$@"', "sh", sys.executable]
    command += ["-m", "dl4mic_orchestrator", "backup", str(tmp_path / "backup")]
    command += ["--workspace", str(old.folder)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 7, run.stderr
    assert "it cannot be written or read: " in run.stderr and "Traceback" not in run.stderr


def test_a_model_that_is_deleted_meanwhile_is_not_missed(
    old: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dl4mic_orchestrator import backup

    real, calls = backup.copy_store, []

    def copy(source: Path, target: Path) -> None:
        real(source, target)
        if not calls:
            old.registry.delete(old.store.models.find("m:2"))
        calls.append(target)

    monkeypatch.setattr(backup, "copy_store", copy)
    report = back_up(old.folder, tmp_path / "backup")
    assert (report.models, report.broken, len(calls)) == (1, (), 2)


def test_a_tampered_backup_is_refused(old: Workspace, tmp_path: Path) -> None:
    target = tmp_path / "backup"
    back_up(old.folder, target)
    (target / "models" / "m" / "1" / "weights").write_bytes(b"changed")
    with pytest.raises(BackupError, match="the model m:1 is not what was backed up"):
        restore(target, tmp_path / "new")
    shutil.rmtree(target / "models" / "m" / "1")
    with pytest.raises(BackupError, match="m:1 is missing"):
        restore(target, tmp_path / "new")
    next(target.glob("store-*")).write_bytes(b"changed")
    with pytest.raises(BackupError, match="not what was backed up"):
        restore(target, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_an_archive_that_leads_out_is_refused(tmp_path: Path) -> None:
    (tmp_path / "evil").write_text("x")
    with tarfile.open(tmp_path / "b.tar", "w") as archive:
        archive.add(tmp_path / "evil", arcname="../../evil")
    with pytest.raises(BackupError, match="cannot be unpacked"):
        restore(tmp_path / "b.tar", tmp_path / "new")


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["backup", "{0}/to", "--workspace", "{0}/none"], "name the server's workspace"),
        (["backup", "{0}/old", "--workspace", "{0}/old"], "holds something that is no backup"),
        (["backup", "{0}/old/store.sqlite", "--workspace", "{0}/old"], "is a file"),
        (["restore", "{0}/none", "--workspace", "{0}/new"], "cannot be unpacked"),
        (["restore", "{0}/old", "--workspace", "{0}/new"], "holds no whole backup"),
        (["restore", "{0}/to", "--workspace", "{0}/old"], "is not empty"),
    ],
)
def test_what_is_refused(
    command: list[str],
    words: str,
    old: Workspace,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = sorted(path.name for path in old.folder.iterdir())
    arguments = [each.format(tmp_path) for each in command]
    assert main(arguments) == 2
    assert words in capsys.readouterr().err
    assert main([*arguments, "--json"]) == 2
    assert words in json.loads(capsys.readouterr().out)["error"]["message"]
    assert sorted(path.name for path in old.folder.iterdir()) == before


def test_a_restored_server_does_not_touch_the_old_one(old: Workspace, tmp_path: Path) -> None:
    state = {"socket": "/run/old.sock", "boot_id": "x", "pid": 1, "start_ticks": 2}
    busy = InstanceState.BUSY
    old.store.instances.add(
        Instance("open-1", "blur", "blur", busy, Grant(), "open", 1, backend_state=state)
    )
    back_up(old.folder, tmp_path / "backup")
    restore(tmp_path / "backup", tmp_path / "new")
    restored = Workspace(tmp_path / "new").store.instances.all()
    assert [each.backend_state for each in restored] == [LEFT_BEHIND]
    assert old.store.instances.all()[0].backend_state == state


def test_two_at_once_do_not_mix(old: Workspace, tmp_path: Path) -> None:
    target = tmp_path / "backup"
    back_up(old.folder, target)
    import fcntl

    with (target / "backup.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(BackupError, match="another backup goes"):
            back_up(old.folder, target)


def test_the_store_is_copied_at_one_moment_while_others_write(
    old: Workspace, tmp_path: Path
) -> None:
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            old.store.jobs.create(Job(id=f"w{number}", network="blur", train={"model": "m"}))
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        reports = [back_up(old.folder, tmp_path / "backup") for _ in range(5)]
    finally:
        stop.set()
        writer.join()
    assert reports[-1].jobs > reports[0].jobs
    restore(tmp_path / "backup", tmp_path / "new")
    jobs = Workspace(tmp_path / "new").store.jobs.open_jobs()
    assert len(jobs) + 2 == reports[-1].jobs


def test_a_store_beside_the_workspace_is_kept_and_restored_to_such_a_place(
    old: Workspace, tmp_path: Path
) -> None:
    place = tmp_path / "claim" / "store.sqlite"
    place.parent.mkdir()
    old.store.close()
    for each in old.folder.glob("store.sqlite*"):
        each.rename(place.with_name(each.name))
    kept, workspace = str(tmp_path / "kept"), str(old.folder)
    url = f"sqlite:///{place}"
    assert main(["backup", kept, "--workspace", workspace, "--store", url]) == 0
    restored, again = tmp_path / "restored", tmp_path / "claim" / "restored.sqlite"
    flags = ["--workspace", str(restored), "--store", f"sqlite:///{again}"]
    assert main(["restore", kept, *flags]) == 0
    assert not (restored / "store.sqlite").exists()
    assert len(Store(again).models.published()) == 2
    assert main(["restore", kept, "--workspace", f"{restored}2", *flags[2:]]) == 2


def test_a_database_on_a_server_is_kept_while_it_is_worked_on_and_restored_to_another(
    old: Workspace, tmp_path: Path, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    url, again, kept = server.new_url(), server.new_url(), tmp_path / "kept"
    load(old.folder / "store.sqlite", url)
    working = Store(url)
    workspace = ["--workspace", str(old.folder)]
    assert main(["backup", str(kept), *workspace, "--store", url]) == 0
    restored = ["restore", str(kept), "--workspace", str(tmp_path / "new")]
    assert main([*restored, "--store", url]) == 2
    assert "another orchestrator works" in capsys.readouterr().err
    working.close()
    assert main([*restored, "--store", url]) == 2
    assert "holds records already" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
    assert main([*restored, "--store", again]) == 0
    assert not (tmp_path / "new" / "store.sqlite").exists()

    new = Store(again)
    assert new.models.published() == old.store.models.published()
    assert new.jobs.events("a", 0) == old.store.jobs.events("a", 0)
    orders = [order for order, _ in new.jobs.newest(Filter(), None, 9)]
    made = new.jobs.create(Job(id="later", network="blur", train={"model": "m"}))
    assert new.jobs.newest(Filter(), None, 1) == [(max(orders) + 1, made)]
    new.close()


def test_a_database_that_cannot_be_reached_is_named_without_its_password(
    old: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = "postgresql+psycopg://dl4mic:secret@127.0.0.1:1/dl4mic"
    place = str(tmp_path / "kept")
    assert main(["backup", place, "--workspace", str(old.folder), "--store", url]) == 2
    said = capsys.readouterr().err
    assert "cannot be reached" in said and "secret" not in said
