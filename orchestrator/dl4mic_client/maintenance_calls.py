# SPDX-License-Identifier: BSD-3-Clause
"""The client's calls that keep a server in order: clean up, and ask what is wrong."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Literal

import grpc

from dl4mic import clock
from dl4mic.v1 import maintenance_pb2
from dl4mic_client.connection import Connection

Kind = Literal["job", "upload", "environment", "leftover"]

_LONGEST_SECONDS = 3600.0
"""Sizes are measured, and much may have to be deleted."""

_SAME_SECONDS = 5.0
"""Clocks that differ by less are taken for the same."""


class MaintenanceCalls:
    """The part of a `Client` that is about the server's workspace."""

    _connection: Connection

    def clean(
        self,
        *,
        dry_run: bool = False,
        kinds: Sequence[Kind] = (),
        older_than_seconds: float | None = None,
    ) -> maintenance_pb2.CleanResponse:
        """Delete what nobody needs any more; what a model's lineage or an open job needs stays.

        Parameters
        ----------
        dry_run : bool
            Only say what would go.
        kinds : sequence of str, optional
            Only these: "job", "upload", "environment", "leftover".
        older_than_seconds : float, optional
            Spare what was used since; else as the server's retention says.
        """
        request = maintenance_pb2.CleanRequest(
            dry_run=dry_run, kinds=[kind.upper() for kind in kinds]
        )
        if older_than_seconds is not None:
            request.older_than.FromNanoseconds(int(older_than_seconds * 1e9))
        return self._connection.call(self._connection.maintenance.Clean, request, _LONGEST_SECONDS)

    def diagnose(self) -> list[maintenance_pb2.Finding]:
        """Ask the server what is wrong with it and its machine, and compare its clock with ours."""
        request = maintenance_pb2.DiagnoseRequest()
        with self._connection.translated():
            answer, call = self._connection.maintenance.Diagnose.with_call(
                request, timeout=_LONGEST_SECONDS
            )
        return [*answer.findings, *_clocks(call)]


def _clocks(call: grpc.Call) -> list[maintenance_pb2.Finding]:
    theirs = clock.read(call.trailing_metadata() or ())
    apart = 0.0 if theirs is None else theirs - time.time()
    if abs(apart) < _SAME_SECONDS:
        return []
    finding = maintenance_pb2.Finding(subject="clock", level=maintenance_pb2.Finding.CAUTION)
    finding.message = f"the server's clock is {apart:+.0f} s from this machine's"
    finding.hint = "Have both set by NTP; times of jobs are the server's."
    return [finding]
