# SPDX-License-Identifier: BSD-3-Clause
"""What every server of the contract has: errors as `google.rpc` details, health, reflection, addresses."""

from __future__ import annotations

import errno
import logging
import os
import uuid
from concurrent import futures
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Iterator, Mapping, NamedTuple, Optional, Sequence

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from grpc_status import rpc_status

from dl4mic.addresses import check_address, socket_path
from dl4mic.check import Refused, Violation
from dl4mic.streams import Streams, TooManyStreamsError

CHUNK_BYTES = 1 << 20
"""Size of a chunk in streams: the fastest that stays below gRPC's default limit of 4 MiB a message."""

WORKERS = 512
"""Threads of a server: each call takes one, and a WatchJob, which takes next to no time, keeps it. An idle thread costs
some 30 KiB."""

_KEEPALIVE = (
    # A peer that vanished without a word is noticed, and what it held is free again.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
)

DOMAIN = "dl4mic"
"""Of every ErrorInfo."""

MOST_MESSAGE_BYTES = 600
MOST_FIELD_BYTES = 100
MOST_DESCRIPTION_BYTES = 500
MOST_VIOLATION_BYTES = 2000
"""A status travels in a call's trailers: clients take 8 KiB, and text that is not ASCII takes thrice its bytes."""

_CUT = " [...] "

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
"""Errors of the system that say so."""

log = logging.getLogger("dl4mic.server")


class RpcError(Exception):
    """An error that the caller of a call shall see.

    Parameters
    ----------
    code
        gRPC status.
    message
        What is wrong.
    reason
        Stable upper-case word for programs, ErrorInfo.reason: "JOB_NOT_FOUND".
    hint
        What would be right.
    """

    def __init__(self, code: grpc.StatusCode, message: str, reason: str, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.reason = reason
        self.hint = hint


def not_found(message: str, reason: str, hint: str = "") -> RpcError:
    """Make the error of a call for something that is not there."""
    return RpcError(grpc.StatusCode.NOT_FOUND, message, reason, hint)


def status_of(error: Exception) -> status_pb2.Status:
    """Translate an error into the status that a client of any language can take apart."""
    if isinstance(error, Refused):
        return _status(
            grpc.StatusCode.INVALID_ARGUMENT, str(error), "REQUEST_REFUSED", "", error.violations
        )
    if isinstance(error, RpcError):
        return _status(error.code, error.message, error.reason, error.hint)
    if isinstance(error, OSError) and error.errno in DISK_FULL:
        return _status(
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "the server's disk is full",
            "DISK_FULL",
            "Free some space there, then send it again.",
        )
    number = uuid.uuid4().hex[:8]
    log.error("unexpected error %s", number, exc_info=error)
    message = "the server met an unexpected error; its log has it under {}".format(number)
    return _status(
        grpc.StatusCode.INTERNAL, message, "UNEXPECTED", "Tell the administrator the number."
    )


def abort(context: grpc.ServicerContext, error: Exception) -> None:
    """End a call with an error: see `status_of`."""
    context.abort_with_status(rpc_status.to_status(status_of(error)))


def _status(
    code: grpc.StatusCode,
    message: str,
    reason: str,
    hint: str,
    violations: Sequence[Violation] = (),
) -> status_pb2.Status:
    status = status_pb2.Status(code=code.value[0], message=bounded(message, MOST_MESSAGE_BYTES))
    info = error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN)
    if hint:
        info.metadata["hint"] = bounded(hint, MOST_MESSAGE_BYTES)
    _pack(status, info)
    if violations:
        _pack(status, _bad_request(violations))
    return status


def _bad_request(violations: Sequence[Violation]) -> error_details_pb2.BadRequest:
    """Name the fields at fault, as many as a status carries."""
    request = error_details_pb2.BadRequest()
    for each in violations:
        field = bounded(each.field, MOST_FIELD_BYTES)
        request.field_violations.add(
            field=field, description=bounded(each.description, MOST_DESCRIPTION_BYTES)
        )
        if request.ByteSize() > MOST_VIOLATION_BYTES:
            break
    return request


def bounded(text: str, most_bytes: int) -> str:
    """Cut a text, in its middle left out, to so many bytes of UTF-8."""
    encoded = text.encode("utf-8", "replace")
    if len(encoded) <= most_bytes:
        return encoded.decode("utf-8")
    half = (most_bytes - len(_CUT)) // 2
    return (
        encoded[:half].decode("utf-8", "ignore") + _CUT + encoded[-half:].decode("utf-8", "ignore")
    )


def _pack(status: status_pb2.Status, detail: Any) -> None:
    packed = AnyMessage()
    packed.Pack(detail)
    status.details.add().CopyFrom(packed)


Translate = Callable[[Exception], Exception]


def _as_it_is(error: Exception) -> Exception:
    return error


class CallInterceptor(grpc.ServerInterceptor):  # type: ignore[misc,type-arg]
    """Ends a call that raised with the status of its error, and bounds streams; no traceback reaches a client.

    Parameters
    ----------
    streams
        Bounds them.
    translate
        Makes a `RpcError` of an error that the server knows; others come back as they are.
    """

    def __init__(self, streams: Streams, translate: Translate = _as_it_is) -> None:
        self._streams = streams
        self._translate = translate

    def intercept_service(self, continuation: Callable[..., Any], details: Any) -> Any:
        """Wrap the behaviour of the call's handler."""
        handler = continuation(details)
        if handler is None:
            return None
        wraps = {
            "unary_unary": self._answering,
            "stream_unary": self._receiving,
            "unary_stream": self._sending,
            "stream_stream": self._conversing,
        }
        for kind, wrap in wraps.items():
            if getattr(handler, kind) is not None:
                return handler._replace(**{kind: wrap(getattr(handler, kind))})
        return handler

    def _answering(self, behaviour: Callable[..., Any]) -> Callable[..., Any]:
        def call(request: Any, context: grpc.ServicerContext) -> Any:
            with self._told(context):
                return behaviour(request, context)

        return call

    def _receiving(self, behaviour: Callable[..., Any]) -> Callable[..., Any]:
        def call(requests: Iterator[Any], context: grpc.ServicerContext) -> Any:
            with self._told(context), self._streams.admit(context) as stream:
                return behaviour(stream.incoming(requests), context)

        return call

    def _sending(self, behaviour: Callable[..., Any]) -> Callable[..., Any]:
        def call(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
            with self._told(context), self._streams.admit(context) as stream:
                yield from stream.outgoing(behaviour(request, context))

        return call

    def _conversing(self, behaviour: Callable[..., Any]) -> Callable[..., Any]:
        def call(requests: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:
            with self._told(context), self._streams.admit(context) as stream:
                yield from stream.outgoing(behaviour(stream.incoming(requests), context))

        return call

    @contextmanager
    def _told(self, context: grpc.ServicerContext) -> Iterator[None]:
        """Tell the caller of an error; one that has gone, or was cut, hears nothing, and that is no fault of ours."""
        try:
            yield
        except TooManyStreamsError:
            busy = RpcError(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                "the server holds as many watches and transfers as it can",
                "TOO_MANY_STREAMS",
                "Try again later, or ask the server's other users to close watches that they do not need.",
            )
            abort(context, busy)
        except Exception as error:
            if not context.is_active():
                log.info("a call was cut short: %s", type(error).__name__)
                raise
            abort(context, self._translate(error))


class Listening(NamedTuple):
    """A server that answers, and where."""

    server: grpc.Server
    address: str
    health: health.HealthServicer


def listen(
    address: str,
    servicers: Mapping[Any, Any],
    *,
    workers: int = WORKERS,
    interceptors: Sequence[Any] = (),
    translate: Translate = _as_it_is,
    credentials: Optional[grpc.ServerCredentials] = None,
) -> Listening:
    """Start a server of the contract with health and reflection.

    Parameters
    ----------
    address
        ``unix:///path/to/socket`` (made readable for its user alone) or ``HOST:PORT``; port 0 takes a free one.
    servicers
        The ``add_..._to_server`` function of each service, and its servicer.
    workers
        Calls answered at once; seven in eight of them may be streams.
    interceptors
        Called outside of the translation of errors.
    translate
        Makes a `RpcError` of an error that the server knows; others come back as they are.

    Returns
    -------
    Listening
        Started; the address has the port that was taken.

    Raises
    ------
    OSError
        The address cannot be listened on.
    """
    server = grpc.server(
        futures.ThreadPoolExecutor(max_workers=workers, thread_name_prefix="rpc"),
        interceptors=[*interceptors, CallInterceptor(Streams(workers * 7 // 8), translate)],
        options=[("grpc.so_reuseport", 0), *_KEEPALIVE],
    )
    for add, servicer in servicers.items():
        add(servicer, server)
    names = [service_name(add) for add in servicers]
    status = _add_health(server, names)
    reflected = [*names, health.SERVICE_NAME, reflection.SERVICE_NAME]
    reflection.enable_server_reflection(reflected, server)
    bound = _bind(server, address, credentials)
    server.start()
    return Listening(server, bound, status)


def service_name(add: Any) -> str:
    """Full name of the service that a stub's ``add_NameServicer_to_server`` registers."""
    return "dl4mic.v1." + str(add.__name__)[len("add_") : -len("Servicer_to_server")]


def _add_health(server: grpc.Server, names: Sequence[str]) -> health.HealthServicer:
    status = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(status, server)
    for name in ["", *names]:
        status.set(name, health_pb2.HealthCheckResponse.SERVING)
    return status


def _bind(server: grpc.Server, address: str, credentials: Optional[grpc.ServerCredentials]) -> str:
    check_address(address)
    unix = socket_path(address)
    target = "unix:{}".format(unix) if unix else address
    if unix:
        Path(unix).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if os.path.exists(unix):
            os.unlink(unix)
    try:
        port = (
            server.add_secure_port(target, credentials)
            if credentials
            else server.add_insecure_port(target)
        )
    except RuntimeError as error:
        raise OSError("cannot listen on {}: {}".format(address, error)) from error
    if not port:
        raise OSError("cannot listen on {}".format(address))
    if unix:
        os.chmod(unix, 0o600)
        return address
    return "{}:{}".format(address.rpartition(":")[0], port)


def channel_target(address: str) -> str:
    """Write an address as `grpc.insecure_channel` wants it."""
    unix = socket_path(address)
    return "unix:{}".format(unix) if unix else address


def is_local(context: grpc.ServicerContext) -> bool:
    """Whether the caller came by the Unix socket: same machine, and the user who owns the socket."""
    return bool(context.peer().startswith("unix:"))
