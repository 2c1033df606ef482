# SPDX-License-Identifier: BSD-3-Clause
"""Translate what goes wrong inside into what a caller can act on."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from dl4mic.check import Refused, Violation
from dl4mic.server import RpcError
from dl4mic_orchestrator.catalog import UnknownNetworkError
from dl4mic_orchestrator.dependents import Obstacle
from dl4mic_orchestrator.registry import BrokenModelError
from dl4mic_orchestrator.store import StoreError
from dl4mic_orchestrator.store.feed import JobGoneError
from dl4mic_orchestrator.store.jobs import (
    JobExistsError,
    JobNotFoundError,
    JobStateError,
    ProjectFullError,
)
from dl4mic_orchestrator.store.models import ModelInUseError, ModelNotFoundError

_CODES: dict[type[Exception], tuple[grpc.StatusCode, str]] = {
    UnknownNetworkError: (grpc.StatusCode.NOT_FOUND, "NETWORK_NOT_FOUND"),
    JobNotFoundError: (grpc.StatusCode.NOT_FOUND, "JOB_NOT_FOUND"),
    JobGoneError: (grpc.StatusCode.NOT_FOUND, "JOB_NOT_FOUND"),
    JobExistsError: (grpc.StatusCode.ALREADY_EXISTS, "JOB_EXISTS"),
    ProjectFullError: (grpc.StatusCode.RESOURCE_EXHAUSTED, "PROJECT_FULL"),
    JobStateError: (grpc.StatusCode.FAILED_PRECONDITION, "JOB_STATE"),
    ModelNotFoundError: (grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND"),
    ModelInUseError: (grpc.StatusCode.FAILED_PRECONDITION, "MODEL_IN_USE"),
    BrokenModelError: (grpc.StatusCode.DATA_LOSS, "MODEL_BROKEN"),
}

log = logging.getLogger(__name__)


def translate(error: Exception) -> Exception:
    """Make an `RpcError` of an error of store, catalogue or registry, and leave any other as it is."""
    if isinstance(error, StoreError):
        log.error("a call failed, since the store cannot be used", exc_info=error)
        return RpcError(
            grpc.StatusCode.UNAVAILABLE,
            "the server's database does not answer",
            "STORE_UNAVAILABLE",
            "Try again in a minute; tell the administrator if that goes on.",
        )
    for kind in type(error).__mro__:
        if kind in _CODES:
            code, reason = _CODES[kind]
            return RpcError(code, str(error), reason)
    return error


def check_unused(what: str, obstacles: Sequence[Obstacle], reason: str) -> None:
    """Refuse to delete what something stands in the way of.

    Parameters
    ----------
    what
        Names it: "job a1".
    reason
        ErrorInfo.reason: "JOB_IN_USE".
    """
    if obstacles:
        message = f"{what} cannot be deleted: {'; '.join(each.words for each in obstacles)}"
        hint = " ".join(each.remedy for each in obstacles)
        raise RpcError(grpc.StatusCode.FAILED_PRECONDITION, message, reason, hint)


def relayed(error: grpc.RpcError) -> Exception:
    """Take an instance's error apart, so that its caller's caller gets all that it says."""
    if not isinstance(error, grpc.Call):
        return error
    info = error_details_pb2.ErrorInfo(reason="INSTANCE_FAILED")
    request = error_details_pb2.BadRequest()
    status = rpc_status.from_call(error)
    for detail in status.details if status is not None else ():
        detail.Unpack(info)
        detail.Unpack(request)
    if request.field_violations:
        return Refused(
            [Violation(each.field, each.description) for each in request.field_violations]
        )
    return RpcError(error.code(), error.details() or "", info.reason, info.metadata["hint"])
