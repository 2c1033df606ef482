# SPDX-License-Identifier: BSD-3-Clause
"""Know who is calling now: time each call, and tell whether anybody is there at all."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc

Called = Callable[[str, str, float], None]
"""Takes a call that has ended: its method, the name of its status, its duration in seconds."""

_ANSWERING = ("unary_unary", "stream_unary")
_STREAMING = ("unary_stream", "stream_stream")


class Callers(grpc.ServerInterceptor):  # type: ignore[misc,type-arg]
    """Times calls, and knows whether anybody is calling: an embedded orchestrator ends when nobody does.

    Parameters
    ----------
    called
        Told of every call that has ended.
    """

    def __init__(self, called: Called) -> None:
        self._called = called
        self._lock = threading.Lock()
        self.active = 0
        """Calls that are being answered."""
        self.last_call = time.monotonic()

    @property
    def present(self) -> bool:
        """Say whether a call is being answered."""
        return self.active > 0

    def intercept_service(self, continuation: Callable[..., Any], details: Any) -> Any:
        """Wrap the behaviour of the call's handler."""
        return wrapped(continuation(details), details.method, self._returning, self._yielding)

    def _returning(self, behaviour: Callable[..., Any], method: str) -> Callable[..., Any]:
        def call(request: Any, context: grpc.ServicerContext) -> Any:
            began = self._begin()
            try:
                return behaviour(request, context)
            finally:
                self._end(method, began, context)

        return call

    def _yielding(self, behaviour: Callable[..., Any], method: str) -> Callable[..., Any]:
        def call(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
            began = self._begin()
            try:
                yield from behaviour(request, context)
            finally:
                self._end(method, began, context)

        return call

    def _begin(self) -> float:
        with self._lock:
            self.active += 1
        return time.monotonic()

    def _end(self, method: str, began: float, context: grpc.ServicerContext) -> None:
        with self._lock:
            self.active -= 1
        self.last_call = time.monotonic()
        self._called(method, _status(context), self.last_call - began)


def wrapped(
    handler: Any,
    method: str,
    returning: Callable[[Callable[..., Any], str], Callable[..., Any]],
    yielding: Callable[[Callable[..., Any], str], Callable[..., Any]],
) -> Any:
    """Give a handler of gRPC with its behaviour wrapped: one that returns its answer, or yields many."""
    for kinds, wrap in ((_ANSWERING, returning), (_STREAMING, yielding)):
        for kind in kinds:
            behaviour = getattr(handler, kind, None)
            if behaviour is not None:
                return handler._replace(**{kind: wrap(behaviour, method)})
    return handler


def _status(context: Any) -> str:
    """Name a call's status; one whose caller went away has none of its own."""
    code = context.code()
    if isinstance(code, grpc.StatusCode):
        return code.name
    return (grpc.StatusCode.OK if context.is_active() else grpc.StatusCode.CANCELLED).name
