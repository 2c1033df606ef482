# SPDX-License-Identifier: BSD-3-Clause
"""Keeps streaming calls from holding a server: how many there may be at once, and how long one may stand still."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import Any, Dict, Iterator, Optional

import grpc

STALL_SECONDS = 120.0
"""A stream whose other side takes or sends nothing for so long is cut; twice the time after which TCP alone gives up
a silent link is generous to a client that was suspended, and a watch or an upload goes on where it was."""

_LOOKS = 10


class TooManyStreamsError(Exception):
    """The server holds as many streams as it may."""


class Stream:
    """One streaming call.

    Attributes
    ----------
    waits_since
        Monotonic seconds since which it waits for the other side; None while it waits for this one.
    """

    def __init__(self, context: grpc.ServicerContext) -> None:
        self.context = context
        self.waits_since: Optional[float] = None

    def incoming(self, requests: Iterator[Any]) -> Iterator[Any]:
        """Pass on requests as the other side sends them."""
        while True:
            self.waits_since = time.monotonic()
            try:
                request = next(requests)
            except StopIteration:
                return
            finally:
                self.waits_since = None
            yield request

    def outgoing(self, responses: Iterator[Any]) -> Iterator[Any]:
        """Pass on responses as the other side takes them: gRPC asks for the next one when it has sent this one."""
        for response in responses:
            self.waits_since = time.monotonic()
            yield response
            self.waits_since = None


class Streams:
    """The streaming calls of a server, each of which takes one of its threads.

    Parameters
    ----------
    most
        How many there may be; fewer than the server has threads, so that other calls are always answered.
    stall_seconds
        How long one may wait for its other side.
    """

    def __init__(self, most: int, stall_seconds: float = STALL_SECONDS) -> None:
        self._most = most
        self._stall_seconds = stall_seconds
        self._lock = threading.Lock()
        self._streams: Dict[int, Stream] = {}
        self._watching = False

    @contextmanager
    def admit(self, context: grpc.ServicerContext) -> Iterator[Stream]:
        """Hold a place for a call as long as it lasts.

        Raises
        ------
        TooManyStreamsError
            There is none.
        """
        stream = Stream(context)
        with self._lock:
            if len(self._streams) >= self._most:
                raise TooManyStreamsError
            self._streams[id(stream)] = stream
            if not self._watching:
                self._watching = True
                threading.Thread(target=self._watch, name="streams", daemon=True).start()
        try:
            yield stream
        finally:
            with self._lock:
                del self._streams[id(stream)]

    def _watch(self) -> None:
        """Cut what stands still, as long as there is any stream."""
        while True:
            time.sleep(self._stall_seconds / _LOOKS)
            with self._lock:
                streams = list(self._streams.values())
                if not streams:
                    self._watching = False
                    return
            oldest = time.monotonic() - self._stall_seconds
            for stream in streams:
                since = stream.waits_since
                if since is not None and since < oldest:
                    stream.context.cancel()  # type: ignore[no-untyped-call]
