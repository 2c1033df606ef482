# SPDX-License-Identifier: BSD-3-Clause
"""Let in the one caller that an instance has: its orchestrator, which gave it a token when it was launched."""

from __future__ import annotations

import hmac
import logging
from pathlib import Path
from typing import Any, Callable

import grpc

from dl4mic.bearer import OPEN, shown
from dl4mic.server import RpcError, abort

log = logging.getLogger(__name__)


class TokenCheck(grpc.ServerInterceptor):  # type: ignore[misc,type-arg]
    """Refuses calls that do not show the token, but for those that ask for health.

    Parameters
    ----------
    file
        Holds the token.

    Raises
    ------
    OSError
        The file cannot be read, or is empty.
    """

    def __init__(self, file: Path) -> None:
        self._token = file.read_bytes().strip()
        if not self._token:
            raise OSError("{} holds no token".format(file))
        self._refusal = grpc.unary_unary_rpc_method_handler(_refuse)

    def intercept_service(self, continuation: Callable[..., Any], details: Any) -> Any:
        """Choose the handler of a call; one that is refused is not even read."""
        token = shown(details.invocation_metadata).encode("utf-8", "replace")
        if details.method.startswith(OPEN) or hmac.compare_digest(token, self._token):
            return continuation(details)
        return self._refusal


def _refuse(request: Any, context: grpc.ServicerContext) -> None:
    error = RpcError(
        grpc.StatusCode.UNAUTHENTICATED,
        "this service answers its orchestrator alone",
        "UNAUTHENTICATED",
        "Call the orchestrator.",
    )
    log.warning("a call of %s was refused: it did not show the token", context.peer())
    abort(context, error)
