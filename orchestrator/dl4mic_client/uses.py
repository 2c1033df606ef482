# SPDX-License-Identifier: BSD-3-Clause
"""Who uses the data on a server: open jobs that read them, models that were trained on them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dl4mic import references
from dl4mic_client.errors import NotFound, Unsupported

if TYPE_CHECKING:
    from dl4mic.v1 import job_pb2
    from dl4mic_client.client import Client

_OPEN = ("PENDING", "STARTING", "RUNNING")


@dataclass(frozen=True)
class Use:
    """One use of a location: "job a1", or "model nuclei:1" that came of it."""

    location: str
    user: str

    def concerns(self, location: str) -> bool:
        """Say whether it is of a location, of something in it, or of what that lies in."""
        ours, theirs = self.location.rstrip("/"), location.rstrip("/")
        return ours == theirs or _holds(ours, theirs) or _holds(theirs, ours)


def uses_of_data(client: Client) -> list[Use]:
    """Ask the server for all uses of data; a model whose training's record was deleted names none."""
    found = [
        Use(location, f"job {job.id}")
        for job in client.jobs(states=_OPEN)
        for location in _locations(job.record)
    ]
    try:
        models = client.models()
    except Unsupported:
        return found
    for model in models:
        user = f"model {model.name}:{model.version}"
        found += [Use(location, user) for location in _trained_on(client, model.job_id)]
    return found


def _trained_on(client: Client, job_id: str) -> Iterator[str]:
    if not job_id:
        return
    try:
        yield from _locations(client.job(job_id).record)
    except NotFound:
        return


def _locations(job: job_pb2.Job) -> Iterator[str]:
    request = references.request_of(job)
    for _, data in references.datasets(request):
        yield from (text for text in (data.source, data.target) if text)
    for _, location in references.folders(request):
        yield location


def _holds(one: str, other: str) -> bool:
    return other.startswith(one if one.endswith(":") else one + "/")
