# SPDX-License-Identifier: BSD-3-Clause
"""Look through a workspace for what may be cleared away, and clear it away."""

from __future__ import annotations

import logging
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from dl4mic.check import NAME
from dl4mic.data_service import PARTIAL
from dl4mic_orchestrator import cleaning, dependents
from dl4mic_orchestrator.backends import processes
from dl4mic_orchestrator.cleaning import Candidate, Kind, Verdict
from dl4mic_orchestrator.environments import WHEELS, unused
from dl4mic_orchestrator.settings import Settings
from dl4mic_orchestrator.store import Store
from dl4mic_orchestrator.store.jobs import JobNotFoundError, JobStateError
from dl4mic_orchestrator.trash import TRASH, JobFolders, put_aside
from dl4mic_orchestrator.uses import Uses

_HALF_MADE = re.compile(r"\.(.+-[0-9a-f]{16})-[^-]+")
_UNFINISHED = "*.partial"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Inventory:
    """What lies in a workspace.

    Attributes
    ----------
    wanted
        Gives the places of the environments and wheels that services of today use.
    is_busy
        Absolute path -> whether a call writes a file there, or below.
    """

    settings: Settings
    store: Store
    folders: JobFolders
    uses: Uses
    wanted: Callable[[], set[Path]]
    is_busy: Callable[[Path], bool]

    def verdict(self, now: float, spared_seconds: Mapping[Kind, float]) -> Verdict:
        """Decide what would go now; see `cleaning.decide`."""
        listed = {
            Kind.JOB: self._jobs,
            Kind.UPLOAD: self._uploads,
            Kind.ENVIRONMENT: self._environments,
            Kind.LEFTOVER: self._leftovers,
        }
        candidates = (each for kind in spared_seconds for each in listed[kind]())
        return cleaning.decide(candidates, now, spared_seconds)

    def size(self, candidate: Candidate) -> int:
        """Measure how many bytes would be free without it."""
        return size_of(candidate.path)

    def remove(self, candidate: Candidate) -> bool:
        """Delete one thing, unless it has become needed; again after a crash, it finishes what was begun.

        Returns
        -------
        bool
            Whether it is gone.
        """
        remove = {
            Kind.JOB: self._remove_job,
            Kind.UPLOAD: self._remove_upload,
            Kind.ENVIRONMENT: self._remove_environment,
            Kind.LEFTOVER: self._remove_leftover,
        }[candidate.kind]
        gone = remove(candidate.path)
        log.info("%s %s", "deleted" if gone else "kept, for it is in use now:", candidate.name)
        return gone

    def _jobs(self) -> Iterator[Candidate]:
        models = self.store.models.published()
        return cleaning.of_jobs(self.uses.all_jobs(), models, self.settings.jobs)

    def _uploads(self) -> Iterator[Candidate]:
        folder = self.settings.uploads.resolve()
        whole = (path for path in _entries(folder) if not path.name.endswith(PARTIAL))
        changed = {path.name: _newest_change(path) for path in whole}
        models = self.store.models.published()
        return cleaning.of_uploads(folder, changed, self.uses.all_jobs(), models)

    def _environments(self) -> Iterator[Candidate]:
        """List environments, and wheels of ours, that no service of today uses."""
        folder = self.settings.environments
        wanted = self.wanted()
        running = list(processes.command_lines())
        places = [*_entries(folder), *_entries(folder / WHEELS)]
        for path in places:
            if path.is_dir() and path not in {*wanted, folder / WHEELS} and path.name[0] != ".":
                in_use = any(f"{path}/" in command for command in running)
                reason = "a running process uses it" if in_use else ""
                yield self._candidate(Kind.ENVIRONMENT, path, reason)

    def _leftovers(self) -> Iterator[Candidate]:
        """List what crashes left: folders are read before the store, so that what is new is not taken for lost."""
        for path in self._half_made():
            yield self._candidate(Kind.LEFTOVER, path)

    def _half_made(self) -> Iterator[Path]:
        yield from (each for each in _entries(self.settings.environments) if each.name[0] == ".")
        yield from _entries(self.settings.workspace / TRASH)
        yield from self.settings.uploads.rglob("*" + PARTIAL)
        folders = [each for each in _entries(self.settings.jobs) if NAME.fullmatch(each.name)]
        contents = list((self.settings.models / "models").glob("*/[0-9]*"))
        jobs = self.store.census.ids()
        yield from (each for each in folders if each.name not in jobs)
        open_jobs = {job.id for job in self.store.jobs.open_jobs()}
        for folder in folders:
            if folder.name in jobs - open_jobs:
                yield from folder.glob(_UNFINISHED)
                yield from folder.glob(f"[0-9]*/{_UNFINISHED}")
        rows = [*self.store.models.published(), *self.store.models.unfinished()]
        tags = {model.tag for model in rows}
        yield from (each for each in contents if f"{each.parent.name}:{each.name}" not in tags)

    def _candidate(self, kind: Kind, path: Path, needed: str = "") -> Candidate:
        workspace = self.settings.workspace
        name = path.relative_to(workspace) if workspace in path.parents else path
        return Candidate(kind, str(name), path, path.lstat().st_mtime, needed)

    def _remove_job(self, folder: Path) -> bool:
        if self.uses.of_job(folder.name):
            return False
        try:
            self.store.jobs.delete(folder.name)
        except JobStateError:
            return False
        except JobNotFoundError:
            log.info("the job %s was deleted by somebody else", folder.name)
        return self._remove_left(folder)

    def _remove_left(self, folder: Path) -> bool:
        """Delete the folder of a job that is no more, unless another job has its id by now."""
        self.folders.delete(folder.name)
        return not folder.exists()

    def _remove_upload(self, path: Path) -> bool:
        """Take it out of sight first: a job that was accepted meanwhile gets it back, whole."""
        if self.is_busy(path) or not path.exists():
            return False
        aside = put_aside(path, self.settings.workspace)
        if dependents.of_place(path, self.uses.open_jobs()):
            aside.rename(path)
            return False
        return _delete(aside)

    def _remove_environment(self, path: Path) -> bool:
        with unused(path) as free:
            return free and _delete(path)

    def _remove_leftover(self, path: Path) -> bool:
        if path.parent == self.settings.jobs:
            return self._remove_left(path)
        half_made = _HALF_MADE.fullmatch(path.name)
        if half_made and path.parent == self.settings.environments:
            place = re.sub(f"^_{WHEELS}-", f"{WHEELS}/", half_made[1])
            with unused(path.parent / place) as free:
                return free and _delete(path)
        if path.name.endswith(PARTIAL) and self.is_busy(path.with_name(path.name[: -len(PARTIAL)])):
            return False
        return _delete(path)


def size_of(path: Path) -> int:
    """Sum up the bytes of a file, or of a folder's files; what goes meanwhile does not count."""
    if not path.is_dir() or path.is_symlink():
        with suppress(OSError):
            return path.lstat().st_size
        return 0
    return sum(size_of(Path(entry.path)) for entry in _scan(path))


def _newest_change(path: Path) -> float:
    """Tell when a file, or anything in a folder, was last changed; seconds since 1970."""
    try:
        changed = path.lstat().st_mtime
    except OSError:
        return 0.0
    if not path.is_dir() or path.is_symlink():
        return changed
    return max([changed, *(_newest_change(Path(entry.path)) for entry in _scan(path))])


def _scan(folder: Path) -> list[os.DirEntry[str]]:
    with suppress(OSError), os.scandir(folder) as entries:
        return list(entries)
    return []


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _delete(path: Path) -> bool:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
    return not path.exists()
