# SPDX-License-Identifier: BSD-3-Clause
"""Ask the store who uses a job, a model or a place."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dl4mic.check import Refused
from dl4mic.locations import Locations
from dl4mic_orchestrator import dependents
from dl4mic_orchestrator.dependents import JobFacts, Obstacle
from dl4mic_orchestrator.records import Model
from dl4mic_orchestrator.store import Store


@dataclass(frozen=True)
class Uses:
    """Knows what must not be deleted."""

    store: Store
    locations: Locations

    def of_job(self, job_id: str) -> list[Obstacle]:
        """Say who needs a job's results."""
        return dependents.of_job(job_id, self.open_jobs())

    def of_model(self, model: Model) -> list[Obstacle]:
        """Say who needs a version of a model."""
        return dependents.of_model(model, self.open_jobs(), self.store.models.published())

    def of_place(self, place: Path) -> list[Obstacle]:
        """Say which open jobs read at, below or above an absolute path."""
        return dependents.of_place(place, self.open_jobs())

    def open_jobs(self) -> list[JobFacts]:
        """Get what the open jobs use."""
        return list(self.store.census.jobs(self._path_of, open_only=True))

    def all_jobs(self) -> list[JobFacts]:
        """Get what all jobs used and made."""
        return list(self.store.census.jobs(self._path_of))

    def _path_of(self, location: str) -> Path | None:
        if not self.locations.is_location(location):
            return None
        try:
            return self.locations.resolve(location, "location", local=True)
        except Refused:
            return None
