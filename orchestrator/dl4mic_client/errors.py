# SPDX-License-Identifier: BSD-3-Clause
"""The errors that a caller of the client meets, and their translation from gRPC.

::

    ClientError
    ├── Unreachable        no server answers at the address
    ├── Unsupported        the server does not have that service
    ├── Refused            the request is wrong; nothing was started
    │   └── NotFound       it names something that is not there
    ├── ServerFault        the server failed at a good request
    ├── TransferFault      a file did not arrive as it was sent
    └── JobEnded           the job was accepted and did not succeed
        ├── JobFailed
        └── JobCancelled
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    import grpc

    from dl4mic.v1 import job_pb2


class ClientError(Exception):
    """Base of all errors of this package.

    Parameters
    ----------
    message : str
        What is wrong.
    hint : str, optional
        What to do about it.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class Unreachable(ClientError):
    """No server answers at the address."""


class Unsupported(ClientError):
    """The server does not have the service that was asked for."""


class ServerFault(ClientError):
    """The server failed at a request that was not at fault."""


class TransferFault(ClientError):
    """A file did not arrive as it was sent."""


@dataclass(frozen=True)
class FieldFault:
    """What is wrong with one field of a request.

    Attributes
    ----------
    field : str
        Path of the field in the request, e.g. ``"parameters.epochs"``.
    description : str
        What is wrong with it, and what would be right.
    """

    field: str
    description: str


class Refused(ClientError):
    """The server refused the request; nothing was started.

    Parameters
    ----------
    message, hint : str
        As for `ClientError`.
    faults : tuple of FieldFault, optional
        The fields at fault.
    reason : str, optional
        Stable name of the reason, for programs, e.g. ``"PARAMETER_OUT_OF_RANGE"``.
    """

    def __init__(
        self,
        message: str,
        hint: str = "",
        *,
        faults: tuple[FieldFault, ...] = (),
        reason: str = "",
    ) -> None:
        super().__init__(message, hint)
        self.faults = faults
        self.reason = reason


class NotFound(Refused):
    """The request names something that is not there."""


class JobEnded(ClientError):
    """A job ended without success.

    Parameters
    ----------
    record : dl4mic.v1.job_pb2.Job
        The ended job.
    """

    def __init__(self, record: job_pb2.Job) -> None:
        super().__init__(_ended(record), record.error.hint)
        self.record = record


class JobFailed(JobEnded):
    """The job failed; `record.error` says why."""


class JobCancelled(JobEnded):
    """The job was cancelled."""


@dataclass(frozen=True)
class _Details:
    faults: tuple[FieldFault, ...] = ()
    reason: str = ""
    hint: str = ""


def from_rpc(error: grpc.RpcError, server: str) -> ClientError:
    """Translate a failed call into an error of this package.

    Parameters
    ----------
    error : grpc.RpcError
        What the call raised.
    server : str
        The server's address, as people write it.
    """
    code, text = error.code().name, error.details() or ""
    if code in ("UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED"):
        return _unreachable(code, text, server)
    if code == "UNIMPLEMENTED":
        return _unsupported(text)
    if code in _FAULTS_OF_THE_SERVER:
        return ServerFault(f"The server at {server} failed: {text}", "Its log says more.")
    return _refused(NotFound if code == "NOT_FOUND" else Refused, text, _details(error))


_FAULTS_OF_THE_SERVER = frozenset({"INTERNAL", "UNKNOWN", "DATA_LOSS", "ABORTED"})
# What gRPC's own transport says; anything else under UNAVAILABLE was said by the server.
_TLS_WORDS = ("handshake", "certificate", "verification")
_TRANSPORT_WORDS = ("connect", "socket", "dns", "transport", "goaway", "resolver", "ping")


def _unreachable(code: str, text: str, server: str) -> Unreachable:
    hint = "Check that it runs and that the address is right (--server or DL4MIC_SERVER)."
    if any(word in text.lower() for word in _TLS_WORDS):
        return Unreachable(
            f"The server at {server} does not prove who it is: {text}",
            "Check DL4MIC_CA, the certificate of its authority, and DL4MIC_TLS_NAME.",
        )
    if code == "DEADLINE_EXCEEDED":
        return Unreachable(f"The server at {server} did not answer in time.", hint)
    if code == "CANCELLED":
        return Unreachable(f"The server at {server} was ending when the call came.", hint)
    if text and not any(word in text.lower() for word in _TRANSPORT_WORDS):
        return Unreachable(f"The server at {server} cannot do this now: {text}", "Try again later.")
    if not server.startswith("unix:"):
        hint += " If it speaks TLS, set DL4MIC_CA."
    return Unreachable(f"No server answers at {server}.", hint)


def _unsupported(text: str) -> Unsupported:
    # gRPC's own words for a service that was never registered tell a person nothing.
    if not text or "method not found" in text.lower():
        text = (
            "This server is a single service: it runs jobs of its own networks and keeps no "
            "catalogue of networks and no models."
        )
    hint = "Name the trained model by its job, job:ID, or use an orchestrator (dl4mic serve)."
    return Unsupported(text, hint)


def _refused(kind: type[Refused], text: str, details: _Details) -> Refused:
    faults = details.faults
    lines = [f"  {fault.field}: {fault.description}" for fault in faults]
    if lines and all(fault.description in text for fault in faults):
        text = "The request was refused."  # the faults, one a line, say it better
    message = "\n".join([text or "The request was refused.", *lines])
    return kind(message, details.hint, faults=faults, reason=details.reason)


def _details(error: grpc.RpcError) -> _Details:
    from google.rpc import error_details_pb2
    from grpc_status import rpc_status

    try:
        status = rpc_status.from_call(cast("grpc.Call", error))
    except ValueError:  # code and details contradict each other: a proxy rewrote one of them
        status = None
    if status is None:
        return _Details()
    bad, info = error_details_pb2.BadRequest(), error_details_pb2.ErrorInfo()
    for detail in status.details:
        detail.Unpack(bad)
        detail.Unpack(info)
    faults = tuple(FieldFault(each.field, each.description) for each in bad.field_violations)
    return _Details(faults, info.reason, info.metadata.get("hint", ""))


def _ended(record: job_pb2.Job) -> str:
    word = "was cancelled" if record.state == record.CANCELLED else "failed"
    return f"Job {record.id} {word}: {record.error.message}".removesuffix(": ")
