# SPDX-License-Identifier: BSD-3-Clause
"""Say what stands in the way of deleting a job, a model or data: open jobs, lineage, names. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dl4mic_orchestrator.records import JobState, Model

_MOST_NAMED = 5


@dataclass(frozen=True, slots=True)
class Obstacle:
    """What stands in the way, in words that go on from "it cannot be deleted:", and what would remove it."""

    words: str
    remedy: str


@dataclass(frozen=True, slots=True)
class JobFacts:
    """What a job uses and made.

    Attributes
    ----------
    last_use
        Its end, or its acceptance while it is open; seconds since 1970.
    depends_on
        Ids of the jobs whose results its request names.
    models
        ``NAME:VERSION`` of the registered models that its request meant.
    places
        Where the data lies that its request names; absolute.
    made
        ``NAME:VERSION`` that it published; empty for none.
    """

    id: str
    state: JobState
    last_use: float = 0.0
    depends_on: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    places: tuple[Path, ...] = ()
    made: str = ""


def of_job(job_id: str, jobs: Iterable[JobFacts]) -> list[Obstacle]:
    """Say who needs a job's results."""
    return _read_by(job for job in jobs if job_id in job.depends_on)


def of_model(model: Model, jobs: Iterable[JobFacts], models: Sequence[Model]) -> list[Obstacle]:
    """Say who needs a version of a model.

    An alias that could name another version keeps its own: who uses it should learn what it names from now on.

    Parameters
    ----------
    models
        All that are published.
    """
    obstacles = _read_by(
        job
        for job in jobs
        if model.tag in job.models or (model.job_id and model.job_id in job.depends_on)
    )
    heirs = [other.tag for other in models if other.parent == model.tag]
    if heirs:
        words = f"it is the parent of {listed(heirs)}"
        obstacles.append(Obstacle(words, "Delete what descends from it first."))
    others = [other for other in models if other.name == model.name and other.tag != model.tag]
    if model.aliases and others:
        words = f"it is what {listed([f'{model.name}:{alias}' for alias in model.aliases])} means"
        remedy = (
            f"Let that name another version: dl4mic model alias {others[0].tag} {model.aliases[0]}"
        )
        obstacles.append(Obstacle(words, remedy))
    return obstacles


def of_place(place: Path, jobs: Iterable[JobFacts]) -> list[Obstacle]:
    """Say which open jobs read at, below or above a place."""
    return _read_by(job for job in jobs if any(overlap(place, other) for other in job.places))


def overlap(one: Path, other: Path) -> bool:
    """Say whether one path is, holds or lies in the other; both absolute."""
    return one == other or one in other.parents or other in one.parents


def listed(names: Sequence[str]) -> str:
    """Enumerate names, the first few of many."""
    shown = ", ".join(names[:_MOST_NAMED])
    more = len(names) - _MOST_NAMED
    return f"{shown} and {more} more" if more > 0 else shown


def _read_by(jobs: Iterable[JobFacts]) -> list[Obstacle]:
    readers = [job.id for job in jobs if not job.state.ended]
    if not readers:
        return []
    if len(readers) == 1:
        return [Obstacle(f"the open job {readers[0]} needs it", "Wait for that job, or cancel it.")]
    words = f"the open jobs {listed(readers)} need it"
    return [Obstacle(words, "Wait for those jobs, or cancel them.")]
