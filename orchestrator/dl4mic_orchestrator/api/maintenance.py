# SPDX-License-Identifier: BSD-3-Clause
"""Keep the workspace in order: clear away what nobody needs, and say what is wrong."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol

import grpc

from dl4mic import clock
from dl4mic.locations import refuse
from dl4mic.server import RpcError
from dl4mic.v1.maintenance_pb2 import (
    CleanRequest,
    CleanResponse,
    DiagnoseRequest,
    DiagnoseResponse,
    Finding,
    Removal,
)
from dl4mic.v1.maintenance_pb2_grpc import MaintenanceServiceServicer
from dl4mic_orchestrator.cleaning import Candidate, Kind, Retention, Verdict, spared

_MOST_REMOVALS = 1000


class Inventory(Protocol):
    """Knows what lies in the workspace."""

    def verdict(self, now: float, spared_seconds: Mapping[Kind, float]) -> Verdict:
        """Decide what would go now."""

    def size(self, candidate: Candidate) -> int:
        """Measure how many bytes would be free without it."""

    def remove(self, candidate: Candidate) -> bool:
        """Delete one thing, unless it has become needed; say whether it is gone."""


class Diagnosis(Protocol):
    """Looks at the server and its machine."""

    def findings(self) -> Sequence[Finding]:
        """Say what was found."""


class MaintenanceApi(MaintenanceServiceServicer):
    """The contract's MaintenanceService."""

    def __init__(self, inventory: Inventory, retention: Retention, diagnosis: Diagnosis) -> None:
        self._inventory = inventory
        self._retention = retention
        self._diagnosis = diagnosis
        self._cleaning = threading.Lock()

    def Clean(self, request: CleanRequest, context: grpc.ServicerContext) -> CleanResponse:
        """Delete what nobody needs, or say what would be deleted."""
        kinds, older_than = _kinds(request), _older_than(request)
        with self._alone():
            verdict = self._inventory.verdict(
                time.time(), spared(self._retention, kinds, older_than)
            )
            removals = [(each, self._inventory.size(each)) for each in verdict.go]
            if not request.dry_run:
                removals = [each for each in removals if self._inventory.remove(each[0])]
        return _answer(removals)

    def Diagnose(self, request: DiagnoseRequest, context: grpc.ServicerContext) -> DiagnoseResponse:
        """Look at interpreter, disk, devices, environments and clock."""
        findings = self._diagnosis.findings()
        context.set_trailing_metadata((clock.header(time.time()),))
        return DiagnoseResponse(findings=findings)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        if not self._cleaning.acquire(blocking=False):
            message = "another call is cleaning up"
            raise RpcError(grpc.StatusCode.ABORTED, message, "CLEAN_BUSY", "Try again later.")
        try:
            yield
        finally:
            self._cleaning.release()


def _kinds(request: CleanRequest) -> set[Kind]:
    try:
        return {Kind(kind) for kind in request.kinds}
    except ValueError:
        known = ", ".join(f"{kind.name} ({kind.value})" for kind in Kind)
        raise refuse("kinds", f"holds a kind that is not known; there are {known}") from None


def _older_than(request: CleanRequest) -> float | None:
    if not request.HasField("older_than"):
        return None
    seconds = request.older_than.ToNanoseconds() / 1e9
    if seconds < 0:
        raise refuse("older_than", f"{seconds:g} s is less than no time")
    return seconds


def _answer(removals: Sequence[tuple[Candidate, int]]) -> CleanResponse:
    largest = sorted(removals, key=lambda each: each[1], reverse=True)[:_MOST_REMOVALS]
    answer = CleanResponse(
        removal_count=len(removals), freed_bytes=sum(size for _, size in removals)
    )
    for each, size in largest:
        removal = Removal(kind=Removal.Kind.Name(int(each.kind)), name=each.name, size=size)
        removal.last_use_time.FromNanoseconds(int(each.last_use * 1e9))
        answer.removals.append(removal)
    return answer
