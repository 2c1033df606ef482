# SPDX-License-Identifier: BSD-3-Clause
"""Speak the contract with instances."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from dl4mic.check import Request
from dl4mic.server import channel_target, socket_path
from dl4mic.v1.job_pb2_grpc import JobServiceStub
from dl4mic.v1.network_pb2_grpc import NetworkServiceStub
from dl4mic.v1.request_pb2 import ImportModelRequest, PredictRequest, QcRequest, TrainRequest

CALL_SECONDS = 30.0
_FIRST_PAUSE_SECONDS = 0.005
_LONGEST_PAUSE_SECONDS = 0.1
_OPTIONS = (
    # gRPC waits a second before it dials again; an instance is up in less.
    ("grpc.initial_reconnect_backoff_ms", 20),
    ("grpc.min_reconnect_backoff_ms", 20),
    ("grpc.max_reconnect_backoff_ms", 500),
    # Each instance has a channel of its own.
    ("grpc.use_local_subchannel_pool", 1),
)


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
    """A channel to an instance that stays open."""

    def __init__(self, address: str) -> None:
        self._channel = grpc.insecure_channel(channel_target(address), options=_OPTIONS)
        self.dial = Dial(self._channel)

    def close(self) -> None:
        """Hang up."""
        self._channel.close()


@contextmanager
def dial(address: str) -> Iterator[Dial]:
    """Open a channel to an instance for a while."""
    connection = Connection(address)
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
