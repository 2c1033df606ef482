# SPDX-License-Identifier: BSD-3-Clause
"""Show a token with calls, and see the one that was shown: ``authorization: Bearer TOKEN`` (RFC 6750)."""

from __future__ import annotations

from typing import Any, Callable, Iterable, Tuple

import grpc

OPEN = "/grpc.health.v1.Health/"
"""Calls for which nobody needs a token: probes have none, and learn no more than whether the server serves."""

_KEY = "authorization"
_SCHEME = "bearer"


def shown(metadata: Iterable[Tuple[str, Any]]) -> str:
    """Find the token in the metadata of a call; empty where there is none."""
    given = {key: value for key, value in metadata if key == _KEY}
    scheme, _, token = str(given.get(_KEY, "")).partition(" ")
    return token.strip() if scheme.lower() == _SCHEME else ""


def showing(channel: grpc.Channel, token: str) -> grpc.Channel:
    """Have every call of a channel show a token; without one, the channel is as it was."""
    return grpc.intercept_channel(channel, _Bearer(token)) if token else channel


class _Bearer(  # type: ignore[misc]
    grpc.UnaryUnaryClientInterceptor,  # type: ignore[type-arg]
    grpc.UnaryStreamClientInterceptor,  # type: ignore[type-arg]
    grpc.StreamUnaryClientInterceptor,  # type: ignore[type-arg]
    grpc.StreamStreamClientInterceptor,  # type: ignore[type-arg]
):
    def __init__(self, token: str) -> None:
        self._words = (_KEY, "Bearer {}".format(token))

    def _pass(self, proceed: Callable[..., Any], details: Any, request: Any) -> Any:
        return proceed(details._replace(metadata=[*(details.metadata or ()), self._words]), request)

    # One for all kinds of calls, whose types differ.
    intercept_unary_unary: Any = _pass
    intercept_unary_stream: Any = _pass
    intercept_stream_unary: Any = _pass
    intercept_stream_stream: Any = _pass
