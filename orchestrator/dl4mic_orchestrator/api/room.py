# SPDX-License-Identifier: BSD-3-Clause
"""Refuse what there is no room for: on the disk, or in what a project may use."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import grpc

from dl4mic.server import RpcError
from dl4mic_orchestrator.records import Allowance


@dataclass(frozen=True)
class Room:
    """Knows whether a project may have one more open job.

    Attributes
    ----------
    reserve_bytes
        Must be free in the workspace.
    allowance
        Project -> what it may use.
    disk_use
        Project -> bytes that its jobs and models take.
    """

    workspace: Path
    reserve_bytes: int
    allowance: Callable[[str], Allowance]
    disk_use: Callable[[str], int]

    def check(self, project: str) -> int | None:
        """Tell how many open jobs a project may have, None for any number; who opens one counts them.

        Raises
        ------
        RpcError
            The disk is full, or the project's share of it.
        """
        self._check_place()
        self._check_disk_use(project)
        return self.allowance(project).jobs

    def _check_place(self) -> None:
        free = shutil.disk_usage(self.workspace).free
        if free < self.reserve_bytes:
            message = f"only {free >> 20} MiB are free in the workspace"
            hint = f"Free some space: new jobs are taken from {self.reserve_bytes >> 20} MiB on."
            raise RpcError(grpc.StatusCode.RESOURCE_EXHAUSTED, message, "DISK_FULL", hint)

    def _check_disk_use(self, project: str) -> None:
        may = self.allowance(project).disk_bytes
        used = self.disk_use(project) if may is not None else 0
        if may is not None and used >= may:
            message = f"project {project} takes {used >> 20} MiB of the {may >> 20} MiB that it may"
            hint = "Delete jobs or models of the project that nobody needs."
            raise RpcError(grpc.StatusCode.RESOURCE_EXHAUSTED, message, "PROJECT_DISK_FULL", hint)
