# SPDX-License-Identifier: BSD-3-Clause
"""Put aside what is deleted, by one rename: a deletion that is cut short leaves nothing where it lay."""

from __future__ import annotations

import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path

from dl4mic_orchestrator.registry.content import size_of_folder
from dl4mic_orchestrator.store.jobs import JobStore

TRASH = "trash"
"""Folder of a workspace; what stays there is a leftover that a clean-up takes."""


def put_aside(path: Path, workspace: Path) -> Path:
    """Move a file or folder of a workspace into its trash, under a name of its own; return where it lies."""
    aside = workspace / TRASH / f"{path.name[:200]}-{uuid.uuid4().hex[:8]}"
    aside.parent.mkdir(exist_ok=True)
    path.rename(aside)
    return aside


@dataclass(frozen=True)
class JobFolders:
    """The folders of jobs, whose ids are used again when they were deleted.

    Attributes
    ----------
    folder
        Of all jobs, in the workspace.
    """

    jobs: JobStore
    folder: Path

    def put_aside(self, job_id: str) -> Path | None:
        """Put aside what a job left that is no more; None where it left nothing, or another job has its id now."""
        left = self.folder / job_id
        if not left.exists():
            return None
        with self.jobs.absent(job_id) as absent:
            return put_aside(left, self.folder.parent) if absent and left.exists() else None

    def delete(self, job_id: str) -> int:
        """Delete what a job left that is no more; return the bytes that were freed."""
        aside = self.put_aside(job_id)
        if aside is None:
            return 0
        freed = size_of_folder(aside)
        shutil.rmtree(aside, ignore_errors=True)
        return freed
