# SPDX-License-Identifier: BSD-3-Clause
"""Back up a workspace's store and models while its server runs, and restore them."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import sqlite3
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from dl4mic_orchestrator.backends.local import LEFT_BEHIND
from dl4mic_orchestrator.inventory import size_of
from dl4mic_orchestrator.records import JobState
from dl4mic_orchestrator.registry.content import digest_of_folder
from dl4mic_orchestrator.settings import STORE
from dl4mic_orchestrator.store.database import HEAD
from dl4mic_orchestrator.store.transcript import load, published, save

MANIFEST = "backup.json"
FORMAT = 1
ARCHIVE = ".tar"
"""Ending of a backup in one file; another name is a folder. Weights do not compress."""

_PASSES = 3


class BackupError(Exception):
    """What was asked for cannot be done; the message says why, and nothing was changed."""


@dataclass(frozen=True)
class Manifest:
    """What a backup holds.

    Attributes
    ----------
    time
        When the store was copied, seconds since 1970.
    store, sha256
        Name of the store's copy, and its digest.
    models
        ``NAME:VERSION`` -> digest of its folder.
    broken
        ``NAME:VERSION`` of the models whose content was damaged or missing in the workspace.
    artifacts
        Ids of the jobs whose results are here.
    """

    time: float
    store: str
    sha256: str
    models: Mapping[str, str]
    broken: tuple[str, ...] = ()
    artifacts: tuple[str, ...] = ()
    format: int = FORMAT


@dataclass
class Report:
    """What was done: models in all, those that were copied, bytes copied, jobs on record, models left out."""

    models: int = 0
    copied: int = 0
    copied_bytes: int = 0
    jobs: int = 0
    broken: tuple[str, ...] = ()


@dataclass
class _Copying:
    """One backup on its way into a folder."""

    workspace: Path
    store: Path | str
    folder: Path
    known: Mapping[str, str] = field(default_factory=dict)
    report: Report = field(default_factory=Report)

    def run(self, with_artifacts: bool) -> Report:
        models, broken = self._store_and_models()
        partial = self.folder / (STORE + ".partial")
        jobs = _jobs(partial, JobState.SUCCEEDED) if with_artifacts else []
        artifacts = tuple(job_id for job_id in jobs if self._copy_artifacts(job_id))
        sha256 = _sha256(partial)
        name = f"store-{sha256[:16]}.sqlite"
        moment = partial.stat().st_mtime
        _flush(partial)
        partial.replace(self.folder / name)
        manifest = Manifest(moment, name, sha256, models, broken, artifacts)
        _write_manifest(self.folder, manifest)
        _prune(self.folder, manifest)
        self.report.models, self.report.broken = len(models), broken
        self.report.jobs = len(_jobs(self.folder / name, *JobState))
        return self.report

    def _store_and_models(self) -> tuple[dict[str, str], tuple[str, ...]]:
        """Copy the store, then the models that it names; anew, where one was deleted in between."""
        for _ in range(_PASSES):
            copy = self.folder / (STORE + ".partial")
            copy_store(self.store, copy)
            models = _models(copy)
            lost = {tag for tag, digest in models.items() if not self._copy_model(tag, digest)}
            there = published(self.store) if isinstance(self.store, str) else _models(self.store)
            if lost <= there.keys():
                break
        whole = {tag: digest for tag, digest in models.items() if tag not in lost}
        return whole, tuple(sorted(lost))

    def _copy_model(self, tag: str, digest: str) -> bool:
        """Copy a model, if it is not here; say whether it is here whole."""
        target = self.folder / _model_path(tag)
        if target.exists() and (self.known.get(tag) == digest or _digest(target) == digest):
            return True
        source = self.workspace / "models" / _model_path(tag)
        if not self._copy_folder(source, target, digest):
            return False
        self.report.copied += 1
        self.report.copied_bytes += size_of(target)
        return True

    def _copy_artifacts(self, job_id: str) -> bool:
        place = Path("jobs") / job_id / "artifacts"
        target = self.folder / place
        # Published by one rename, and never changed after it.
        return target.exists() or self._copy_folder(self.workspace / place, target)

    def _copy_folder(self, source: Path, target: Path, digest: str = "") -> bool:
        partial = target.with_name(f".{target.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        try:
            shutil.copytree(source, partial)
        except OSError:
            shutil.rmtree(partial, ignore_errors=True)
            if _is_whole(source, digest):
                raise  # what was to be copied is well; where it goes is not
            return False
        if digest and _digest(partial) != digest:
            shutil.rmtree(partial)
            return False
        _flush(partial)
        shutil.rmtree(target, ignore_errors=True)
        partial.rename(target)
        return True


def back_up(
    workspace: Path,
    target: Path,
    *,
    store: Path | str | None = None,
    with_artifacts: bool = False,
) -> Report:
    """Copy store and models of a workspace, whether a server works there or not.

    Parameters
    ----------
    target
        A folder, where only models are copied that it does not hold yet; or a file that ends with ``.tar``.
    store
        File of the store, where it does not lie in the workspace, or URL of its database.
    with_artifacts
        Copy what finished jobs made, too.

    Raises
    ------
    BackupError
        The workspace has no store, the target is something else, or another backup goes there now.
    """
    store = store or workspace / STORE
    if isinstance(store, Path) and not store.exists():
        raise BackupError(f"{store.parent} holds no {store.name}: name the server's workspace")
    if target.suffix != ARCHIVE:
        return _into_folder(workspace, store, target, with_artifacts)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as text:
        report = _into_folder(workspace, store, Path(text) / "backup", with_artifacts)
        packed = Path(text) / "packed"
        with tarfile.open(packed, "w") as archive:
            archive.add(Path(text) / "backup", arcname=".")
        packed.replace(target)
    return report


def restore(source: Path, workspace: Path, *, store: Path | str | None = None) -> Report:
    """Make a workspace of a backup, every model verified.

    Its open jobs go on as those of a machine that was lost: from their next attempt, at the next server's start.

    Parameters
    ----------
    store
        File to make the store, where it shall not lie in the workspace, or URL of an empty database.

    Raises
    ------
    BackupError
        The workspace is not empty, the store is there, the backup is none or damaged, or a newer version of this
        program made it.
    """
    if isinstance(store, Path) and store.exists():
        raise BackupError(f"{store} is there already: name a new file")
    if workspace.exists() and any(workspace.iterdir()):
        shown = ", ".join(sorted(each.name for each in workspace.iterdir())[:3])
        raise BackupError(f"{workspace} is not empty ({shown} ...): restore into a new folder")
    workspace.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{workspace.name}-", dir=workspace.parent) as text:
        with _opened(source, Path(text)) as folder:
            made = Path(text) / "workspace"
            made.mkdir(mode=0o700)
            report = _rebuild(folder, made)
        if store:
            _move_store(made / STORE, store)
        made.rename(workspace)
    return report


def _move_store(made: Path, target: Path | str) -> None:
    """Move a store, perhaps to another disk or into a database, so that it is there whole or not at all."""
    if isinstance(target, str):
        load(made, target)
        made.unlink()
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.partial")
    shutil.copy(made, partial)
    _flush(partial)
    partial.replace(target)
    made.unlink()


def copy_store(source: Path | str, target: Path) -> None:
    """Copy a store at one moment of its life, while others write to it (sqlite.org/backup.html)."""
    if isinstance(source, str):
        save(source, target)
        return
    target.unlink(missing_ok=True)
    with closing(sqlite3.connect(source)) as ours, closing(sqlite3.connect(target)) as copy:
        ours.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE")


def read_manifest(folder: Path) -> Manifest:
    """Read what a backup holds.

    Raises
    ------
    BackupError
        It is no whole backup.
    """
    try:
        found = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BackupError(f"{folder} holds no whole backup: {error}") from error
    if found.get("format") != FORMAT:
        raise BackupError(f"{folder} is a backup of another version of dl4mic")
    return Manifest(**found)


def _into_folder(workspace: Path, store: Path | str, folder: Path, with_artifacts: bool) -> Report:
    if folder.exists() and not folder.is_dir():
        raise BackupError(f"{folder} is a file; name a folder, or a file that ends with {ARCHIVE}")
    if folder.is_dir() and any(folder.iterdir()) and not _is_ours(folder):
        raise BackupError(f"{folder} holds something that is no backup: name a new folder")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / "backup.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BackupError(f"another backup goes to {folder} now") from None
        known = read_manifest(folder).models if (folder / MANIFEST).exists() else {}
        return _Copying(workspace, store, folder, known).run(with_artifacts)


def _is_ours(folder: Path) -> bool:
    return (folder / "backup.lock").exists() or (folder / MANIFEST).exists()


def _rebuild(folder: Path, workspace: Path) -> Report:
    manifest = read_manifest(folder)
    copy = folder / manifest.store
    if not copy.exists() or _sha256(copy) != manifest.sha256:
        raise BackupError(f"{copy} is not what was backed up")
    store = workspace / STORE
    shutil.copy(copy, store)
    _leave_instances_behind(store)
    for tag, digest in manifest.models.items():
        target = workspace / "models" / _model_path(tag)
        if not (folder / _model_path(tag)).is_dir():
            raise BackupError(f"the model {tag} is missing from the backup: {folder}")
        shutil.copytree(folder / _model_path(tag), target)
        if _digest(target) != digest:
            raise BackupError(f"the model {tag} is not what was backed up: {folder}")
    for job_id in manifest.artifacts:
        place = Path("jobs") / job_id / "artifacts"
        shutil.copytree(folder / place, workspace / place)
    copied = size_of(workspace)
    count = len(manifest.models)
    return Report(count, count, copied, len(_jobs(store, *JobState)), tuple(manifest.broken))


@contextmanager
def _opened(source: Path, scratch: Path) -> Iterator[Path]:
    """Give the folder of a backup; unpack an archive first."""
    if source.is_dir():
        yield source
        return
    folder = scratch / "unpacked"
    try:
        with tarfile.open(source) as archive:
            archive.extractall(folder, filter="data")
    except (OSError, tarfile.TarError) as error:
        raise BackupError(f"{source} cannot be unpacked: {error}") from error
    yield folder


def _leave_instances_behind(store: Path) -> None:
    """Let no restored server touch the processes of the one that was backed up: it may still run here."""
    with closing(sqlite3.connect(store)) as connection, connection:
        revision = connection.execute("SELECT version_num FROM alembic_version").fetchone()[0]
        if revision > HEAD:
            raise BackupError("a newer version of dl4mic made this backup; restore it with that")
        connection.execute("UPDATE instances SET backend_state = ?", (json.dumps(LEFT_BEHIND),))


def _models(store: Path) -> dict[str, str]:
    """Read the published models of a store: ``NAME:VERSION`` -> digest."""
    with closing(sqlite3.connect(store)) as connection:
        rows = connection.execute("SELECT name, version, digest FROM models WHERE digest <> ''")
        return {f"{name}:{version}": digest for name, version, digest in rows}


def _jobs(store: Path, *states: JobState) -> list[str]:
    with closing(sqlite3.connect(store)) as connection:
        rows = connection.execute("SELECT id, state FROM jobs ORDER BY id")
        return [job_id for job_id, state in rows if state in states]


def _model_path(tag: str) -> Path:
    name, _, version = tag.partition(":")
    return Path("models") / name / version


def _digest(folder: Path) -> str:
    try:
        return digest_of_folder(folder)
    except OSError:
        return ""


def _is_whole(folder: Path, digest: str) -> bool:
    """Say whether a folder can be read to its end, and holds what its digest says, if it has one."""
    found = _digest(folder) if folder.is_dir() else ""
    return found != "" and digest in ("", found)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _flush(path: Path) -> None:
    """Bring a file, or all files of a folder, onto the disk."""
    for each in path.rglob("*") if path.is_dir() else [path]:
        if each.is_file():
            with each.open("rb") as file:
                os.fsync(file.fileno())


def _write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write what makes the backup whole."""
    partial = folder / (MANIFEST + ".partial")
    with partial.open("w", encoding="utf-8") as file:
        json.dump(asdict(manifest), file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(folder / MANIFEST)


def _prune(folder: Path, manifest: Manifest) -> None:
    """Drop what the newest state has no more: the backup is a mirror, not an archive of all times."""
    for store in folder.glob("store-*.sqlite"):
        if store.name != manifest.store:
            store.unlink()
    for model in folder.glob("models/*/*"):
        if f"{model.parent.name}:{model.name}" not in manifest.models:
            shutil.rmtree(model)
