# SPDX-License-Identifier: BSD-3-Clause
"""Let in who has a token, before anything else looks at a call."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import grpc

from dl4mic.bearer import OPEN, shown
from dl4mic.server import RpcError, abort, is_local
from dl4mic_orchestrator.callers import wrapped
from dl4mic_orchestrator.front.tokens import Identity, Tokens

log = logging.getLogger(__name__)


class Authentication(grpc.ServerInterceptor):  # type: ignore[misc,type-arg]
    """Knows who calls.

    Parameters
    ----------
    tokens
        None where everybody who reaches the server may call.
    """

    def __init__(self, tokens: Tokens | None) -> None:
        self._tokens = tokens

    def identify(self, context: grpc.ServicerContext) -> Identity:
        """Tell who calls: the user of the Unix socket, whose the token is, or else the machine.

        Raises
        ------
        RpcError
            A token is needed, and there is none that is known.
        """
        if is_local(context):
            return Identity("local")
        if self._tokens is None:
            return Identity(_peer(context))
        token = shown(context.invocation_metadata())
        found = self._tokens.find(token)
        if found is None:
            raise _refusal("the token is not known" if token else "the call has no token")
        return found

    def intercept_service(self, continuation: Callable[..., Any], details: Any) -> Any:
        """Wrap the behaviour of the call's handler."""
        handler = continuation(details)
        if details.method.startswith(OPEN):
            return handler
        return wrapped(handler, details.method, self._returning, self._yielding)

    def _returning(self, behaviour: Callable[..., Any], method: str) -> Callable[..., Any]:
        def call(request: Any, context: grpc.ServicerContext) -> Any:
            self._admit(context, method)
            return behaviour(request, context)

        return call

    def _yielding(self, behaviour: Callable[..., Any], method: str) -> Callable[..., Any]:
        def call(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
            self._admit(context, method)
            yield from behaviour(request, context)

        return call

    def _admit(self, context: grpc.ServicerContext, method: str) -> None:
        try:
            self.identify(context)
        except RpcError as error:
            log.warning("%s of %s was refused: %s", method, _peer(context), error)
            abort(context, error)


def _peer(context: grpc.ServicerContext) -> str:
    return str(context.peer()).rpartition(":")[0]


def _refusal(message: str) -> RpcError:
    hint = "Set DL4MIC_TOKEN, or DL4MIC_TOKEN_FILE, to the token that the server's administrator gave you."
    return RpcError(grpc.StatusCode.UNAUTHENTICATED, message, "UNAUTHENTICATED", hint)
