# SPDX-License-Identifier: BSD-3-Clause
"""Own what projects may use: how the administrator says it, and what they take on disk."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from dl4mic.check import Refused, check_name
from dl4mic_orchestrator.records import Allowance
from dl4mic_orchestrator.registry.content import size_of_folder
from dl4mic_orchestrator.snapshot import EVERY_PROJECT
from dl4mic_orchestrator.store import Store

_FORM = "PROJECT:jobs=N,running=N,gpus=N,disk=GIB"
_KINDS = ("jobs", "running", "gpus", "disk")
_MEASURED_FOR_SECONDS = 60.0


def read_allowances(texts: Iterable[str]) -> dict[str, Allowance]:
    """Read what each project may use, by its name; ``*`` for those that are not named.

    Parameters
    ----------
    texts
        Each ``PROJECT:jobs=N,running=N,gpus=N,disk=GIB`` with any of the four.

    Raises
    ------
    ValueError
        A text is none of that form; the message says what would be right.
    """
    return dict(_read(text) for text in texts)


def _read(text: str) -> tuple[str, Allowance]:
    project, _, limits = text.partition(":")
    found: dict[str, float] = {}
    for part in limits.split(","):
        kind, _, number = part.partition("=")
        if kind not in _KINDS or kind in found or not _is_number(number, whole=kind != "disk"):
            raise ValueError(f"--limit {text}: {part!r} is not part of {_FORM}")
        found[kind] = float(number)
    if project != EVERY_PROJECT:
        _check_project(project, text)
    disk = found.get("disk")
    return project, Allowance(
        jobs=_whole(found.get("jobs")),
        running=_whole(found.get("running")),
        gpus=_whole(found.get("gpus")),
        disk_bytes=None if disk is None else int(disk * 2**30),
    )


def _check_project(project: str, text: str) -> None:
    try:
        check_name(project, "--limit")
    except Refused as error:
        raise ValueError(f"--limit {text}: expected {_FORM}; {error}") from error


def _is_number(text: str, *, whole: bool) -> bool:
    return text.isdecimal() or (not whole and text.replace(".", "", 1).isdecimal())


def _whole(number: float | None) -> int | None:
    return None if number is None else int(number)


class DiskUse:
    """Measures what the jobs and models of projects take; what callers uploaded is of no project.

    A measurement holds for a minute, so that a burst of requests does not walk the same folders again and again.
    """

    def __init__(self, store: Store, jobs: Path) -> None:
        self._store = store
        self._jobs = jobs
        self._lock = threading.Lock()
        self._measured: dict[str, tuple[float, int]] = {}

    def of(self, project: str) -> int:
        """Tell how many bytes a project takes, as of a minute ago at most."""
        with self._lock:
            now = time.monotonic()
            self._measured = _fresh(self._measured, now)
            if project not in self._measured:
                self._measured[project] = (now, self._measure(project))
            return self._measured[project][1]

    def _measure(self, project: str) -> int:
        jobs = sum(
            size_of_folder(self._jobs / job_id) for job_id in self._store.census.ids(project)
        )
        return jobs + sum(model.size for model in self._store.models.published(project=project))


def _fresh(measured: Mapping[str, tuple[float, int]], now: float) -> dict[str, tuple[float, int]]:
    return {
        name: (when, size)
        for name, (when, size) in measured.items()
        if now - when < _MEASURED_FOR_SECONDS
    }
