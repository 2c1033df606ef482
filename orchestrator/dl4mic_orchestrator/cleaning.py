# SPDX-License-Identifier: BSD-3-Clause
"""Decide what of a workspace nobody needs any more, and say why the rest stays. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from dl4mic_orchestrator.dependents import JobFacts, listed, of_job, of_place
from dl4mic_orchestrator.records import Model

DAY_SECONDS = 86400.0


class Kind(IntEnum):
    """What kind of thing may go; the numbers are the contract's."""

    JOB = 1
    UPLOAD = 2
    ENVIRONMENT = 3
    LEFTOVER = 4


@dataclass(frozen=True, slots=True)
class Retention:
    """For how many days after their last use things are kept.

    Generous on purpose: nothing is deleted but when somebody cleans, and a year-old result may be a figure of a paper
    under review.
    """

    jobs_days: float = 365.0
    uploads_days: float = 180.0
    environments_days: float = 60.0
    leftovers_days: float = 7.0

    def seconds(self, kind: Kind) -> float:
        """Give the time for which a kind is kept."""
        days = {
            Kind.JOB: self.jobs_days,
            Kind.UPLOAD: self.uploads_days,
            Kind.ENVIRONMENT: self.environments_days,
            Kind.LEFTOVER: self.leftovers_days,
        }
        return days[kind] * DAY_SECONDS


@dataclass(frozen=True, slots=True)
class Candidate:
    """Something that may go.

    Attributes
    ----------
    name
        As people know it: a job's id, "uploads:x", a path below the workspace.
    path
        Where it lies.
    last_use
        Seconds since 1970.
    needed
        Why it stays, however old it is; empty where only its age decides.
    """

    kind: Kind
    name: str
    path: Path
    last_use: float
    needed: str = ""


@dataclass(frozen=True)
class Verdict:
    """What goes, and what stays though it is old: with the reason."""

    go: tuple[Candidate, ...]
    stay: tuple[Candidate, ...]


def decide(
    candidates: Iterable[Candidate], now: float, spared_seconds: Mapping[Kind, float]
) -> Verdict:
    """Part what goes from what stays.

    Parameters
    ----------
    now
        Seconds since 1970.
    spared_seconds
        What was used so recently stays; kinds that are not named stay altogether.
    """
    old = [
        each
        for each in candidates
        if each.kind in spared_seconds and now - each.last_use >= spared_seconds[each.kind]
    ]
    return Verdict(
        go=tuple(each for each in old if not each.needed),
        stay=tuple(each for each in old if each.needed),
    )


def spared(
    retention: Retention, kinds: Collection[Kind], older_than_seconds: float | None
) -> dict[Kind, float]:
    """Give the time for which each kind is kept; no kinds mean all, a time that is given holds for all."""
    return {
        kind: retention.seconds(kind) if older_than_seconds is None else older_than_seconds
        for kind in (kinds or Kind)
    }


def of_jobs(jobs: Sequence[JobFacts], models: Sequence[Model], folder: Path) -> Iterator[Candidate]:
    """List the ended jobs.

    One whose model is still there stays with it: the model's lineage names it.
    """
    kept = {model.job_id: model.tag for model in models if model.job_id}
    wanted = {needed for job in jobs if not job.state.ended for needed in job.depends_on}
    for job in jobs:
        if not job.state.ended:
            continue
        reason = f"the model {kept[job.id]} came from it" if job.id in kept else ""
        if job.id in wanted:
            reason = of_job(job.id, jobs)[0].words
        yield Candidate(Kind.JOB, job.id, folder / job.id, job.last_use, reason)


def of_uploads(
    folder: Path,
    uploads: Mapping[str, float],
    jobs: Sequence[JobFacts],
    models: Sequence[Model],
) -> Iterator[Candidate]:
    """List what was uploaded; what an open job reads, or a model was trained on, stays.

    Parameters
    ----------
    folder
        Of the uploads, absolute.
    uploads
        Name right below it -> newest change, seconds since 1970.
    """
    there = {model.tag for model in models}
    users = _users(folder, uploads, jobs)
    for name, changed in uploads.items():
        obstacles = of_place(folder / name, users[name])
        heirs = [job.made for job in users[name] if job.made in there]
        reason = f"the model {listed(heirs)} was trained on it" if heirs else ""
        reason = obstacles[0].words if obstacles else reason
        last_use = max([changed, *(job.last_use for job in users[name])])
        yield Candidate(Kind.UPLOAD, f"uploads:{name}", folder / name, last_use, reason)


def _users(
    folder: Path, names: Collection[str], jobs: Sequence[JobFacts]
) -> dict[str, list[JobFacts]]:
    """Find the jobs that named each upload, something in it, or all of them."""
    users: dict[str, list[JobFacts]] = {name: [] for name in names}
    for job in jobs:
        named: set[str] = set()
        for place in job.places:
            if folder in place.parents:
                named.add(place.relative_to(folder).parts[0])
            elif place == folder or place in folder.parents:
                named.update(names)
        for name in named & users.keys():
            users[name].append(job)
    return users
