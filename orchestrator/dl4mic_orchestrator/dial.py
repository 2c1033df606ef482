# SPDX-License-Identifier: BSD-3-Clause
"""Speak the contract with instances."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from dl4mic.addresses import socket_path
from dl4mic.bearer import showing
from dl4mic.check import Request
from dl4mic.server import channel_target
from dl4mic.v1.job_pb2 import CancelJobRequest, JobEvent, WatchJobRequest
from dl4mic.v1.job_pb2_grpc import JobServiceStub
from dl4mic.v1.network_pb2_grpc import NetworkServiceStub
from dl4mic.v1.request_pb2 import ImportModelRequest, PredictRequest, QcRequest, TrainRequest

CALL_SECONDS = 30.0
_LOOK_SECONDS = 0.5
_LARGEST_BATCH = 500
_FIRST_PAUSE_SECONDS = 0.005
_LONGEST_PAUSE_SECONDS = 0.1
_OPTIONS = (
    # gRPC waits a second before it dials again; an instance is up in less.
    ("grpc.initial_reconnect_backoff_ms", 20),
    ("grpc.max_reconnect_backoff_ms", 500),
    # Unlike its name, what a connection has to come about: a busy machine takes its time.
    ("grpc.min_reconnect_backoff_ms", 5000),
    # A call of an instance whose machine has vanished ends. Servers take a ping in five minutes, and hang up at more.
    ("grpc.keepalive_time_ms", 330_000),
    ("grpc.keepalive_timeout_ms", 60_000),
    ("grpc.http2.ping_timeout_ms", 60_000),
    # Each instance has a channel of its own.
    ("grpc.use_local_subchannel_pool", 1),
)

log = logging.getLogger(__name__)


class NotServingError(Exception):
    """The instance does not answer."""


class Dial:
    """Calls of one instance."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.networks = NetworkServiceStub(channel)
        self.jobs = JobServiceStub(channel)
        self._health = health_pb2_grpc.HealthStub(channel)

    def assign(self, request: Request) -> None:
        """Give the instance its job; giving it again does nothing."""
        if isinstance(request, TrainRequest):
            self.networks.Train(request, timeout=CALL_SECONDS)
        elif isinstance(request, QcRequest):
            self.networks.Qc(request, timeout=CALL_SECONDS)
        elif isinstance(request, PredictRequest):
            self.networks.Predict(request, timeout=CALL_SECONDS)
        elif isinstance(request, ImportModelRequest):
            self.networks.ImportModel(request, timeout=CALL_SECONDS)
        else:
            self.networks.ExportModel(request, timeout=CALL_SECONDS)

    @contextmanager
    def watch(self, job_id: str, after: int) -> Iterator[Iterator[list[JobEvent]]]:
        """Open a stream of a job's events.

        Yields
        ------
        iterator
            Of batches: all that has come, so that a burst of events becomes one transaction; an empty one after each
            half second of silence. It ends with the stream, however that ended.
        """
        items: queue.SimpleQueue[JobEvent | None] = queue.SimpleQueue()
        stream = self.jobs.WatchJob(WatchJobRequest(job_id=job_id, after_sequence=after))
        threading.Thread(
            target=_read_stream, args=(stream, items), name=f"watch-{job_id}", daemon=True
        ).start()
        try:
            yield _batches(items)
        finally:
            stream.cancel()  # type: ignore[no-untyped-call]

    def cancel(self, job_id: str) -> None:
        """Ask for the end of a job; an instance that is gone or hangs does not take it."""
        try:
            self.jobs.CancelJob(CancelJobRequest(job_id=job_id), timeout=CALL_SECONDS)
        except (grpc.RpcError, ValueError) as error:
            log.info("the instance did not take the cancelling: %s", error)

    def is_serving(self) -> bool:
        """Ask for health once."""
        try:
            answer = self._health.Check(
                health_pb2.HealthCheckRequest(), timeout=5.0, wait_for_ready=True
            )
        except grpc.RpcError:
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


class Connection:
    """A channel to an instance that stays open.

    Parameters
    ----------
    token
        File with what calls must show; None where they need not.

    Raises
    ------
    OSError
        The token cannot be read.
    """

    def __init__(self, address: str, token: Path | None = None) -> None:
        shown = token.read_text(encoding="ascii") if token else ""
        self._channel = grpc.insecure_channel(channel_target(address), options=_OPTIONS)
        self.dial = Dial(showing(self._channel, shown))

    def close(self) -> None:
        """Hang up."""
        self._channel.close()


@contextmanager
def dial(address: str, token: Path | None = None) -> Iterator[Dial]:
    """Open a channel to an instance for a while; see `Connection`."""
    connection = Connection(address, token)
    try:
        yield connection.dial
    finally:
        connection.close()


def await_serving(address: str, give_up: Callable[[], bool], timeout_seconds: float) -> None:
    """Wait until an instance answers.

    Parameters
    ----------
    give_up
        Says whether waiting has become useless.

    Raises
    ------
    NotServingError
        It gave up, or the time is over.
    """
    end = time.monotonic() + timeout_seconds
    pause = _FIRST_PAUSE_SECONDS
    path = socket_path(address)
    with dial(address) as instance:
        # A channel that dials before the socket is there would first have to back off.
        while (path and not Path(path).exists()) or not instance.is_serving():
            if give_up() or time.monotonic() > end:
                raise NotServingError(
                    f"the service did not answer within {timeout_seconds:g} s of its start"
                )
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)


def _read_stream(stream: Iterator[JobEvent], items: queue.SimpleQueue[JobEvent | None]) -> None:
    try:
        for event in stream:
            items.put(event)
    except grpc.RpcError as error:
        # Why it broke shows in what the instance and its folder say next.
        log.debug("a stream of events broke: %s", error)
    finally:
        items.put(None)


def _batches(items: queue.SimpleQueue[JobEvent | None]) -> Iterator[list[JobEvent]]:
    ended = False
    while not ended:
        batch, ended = _take(items)
        yield batch


def _take(items: queue.SimpleQueue[JobEvent | None]) -> tuple[list[JobEvent], bool]:
    """Take all that is there, and say whether the stream has ended; wait a little for the first."""
    batch: list[JobEvent] = []
    try:
        item = items.get(timeout=_LOOK_SECONDS)
        while item is not None:
            batch.append(item)
            if len(batch) == _LARGEST_BATCH:
                return batch, False
            item = items.get_nowait()
        return batch, True
    except queue.Empty:
        return batch, False


class Dialler:
    """Reaches instances by the contract."""

    def await_serving(
        self, address: str, give_up: Callable[[], bool], timeout_seconds: float
    ) -> None:
        """Wait until an instance answers; see `await_serving`."""
        await_serving(address, give_up, timeout_seconds)

    def dial(self, address: str, token: Path | None) -> AbstractContextManager[Dial]:
        """Open a channel to an instance for a while; see `Connection`."""
        return dial(address, token)
