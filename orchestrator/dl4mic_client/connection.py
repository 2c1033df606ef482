# SPDX-License-Identifier: BSD-3-Clause
"""One gRPC channel to a server: calls with deadlines, safe retries and readable errors."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import grpc

from dl4mic.v1 import (
    catalog_pb2_grpc,
    data_pb2_grpc,
    job_pb2_grpc,
    maintenance_pb2_grpc,
    model_pb2_grpc,
    network_pb2_grpc,
)
from dl4mic_client import errors
from dl4mic_client.access import Access
from dl4mic_client.address import Address

if TYPE_CHECKING:
    from google.protobuf.message import Message

Request = TypeVar("Request", bound="Message")
Response = TypeVar("Response", bound="Message")

CALL_TIMEOUT_SECONDS = 30.0
CHUNK_BYTES = 1 << 20
"""Largest piece of content in one message, as the contract says."""


_NO_ACCESS = Access()


class Connection:
    """A channel to one server and its services.

    Parameters
    ----------
    address : Address
        Where the server listens.
    revive : callable, optional
        Starts the server again where that is the caller's to do (the embedded orchestrator ends
        by itself when idle). Called once for a call that found no server.
    access : Access, optional
        What the server asks for. `Refused` is raised when it would give a token away.
    """

    def __init__(
        self,
        address: Address,
        revive: Callable[[], None] | None = None,
        access: Access = _NO_ACCESS,
    ) -> None:
        self.address = address
        self._revive = revive
        self._channel = access.open(address, _CHANNEL_OPTIONS)
        self.networks = network_pb2_grpc.NetworkServiceStub(self._channel)
        self.jobs = job_pb2_grpc.JobServiceStub(self._channel)
        self.data = data_pb2_grpc.DataServiceStub(self._channel)
        self.models = model_pb2_grpc.ModelServiceStub(self._channel)
        self.maintenance = maintenance_pb2_grpc.MaintenanceServiceStub(self._channel)
        self.catalog = catalog_pb2_grpc.CatalogServiceStub(self._channel)

    def call(
        self,
        method: grpc.UnaryUnaryMultiCallable[Request, Response],
        request: Request,
        timeout_seconds: float = CALL_TIMEOUT_SECONDS,
    ) -> Response:
        """Call a method that answers once.

        Raises
        ------
        ClientError
            Of the kind that `errors.from_rpc` chooses.
        """
        try:
            return method(request, timeout=timeout_seconds)
        except grpc.RpcError as error:
            if not self.revive_after(error):
                raise self.translate(error) from None
        with self.translated():
            return method(request, timeout=timeout_seconds, wait_for_ready=True)

    def listed(
        self,
        method: grpc.UnaryUnaryMultiCallable[Request, Any],
        request: Request,
        field: str,
        timeout_seconds: float = CALL_TIMEOUT_SECONDS,
    ) -> Iterator[Any]:
        """Call a method that lists, and yield what `field` of each page holds; errors as in `call`."""
        while True:
            page = self.call(method, request, timeout_seconds)
            yield from getattr(page, field)
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token  # type: ignore[attr-defined]  # all have one

    def stream(
        self, method: grpc.UnaryStreamMultiCallable[Request, Response], request: Request
    ) -> Iterator[Response]:
        """Call a method that answers in many messages; errors as in `call`."""
        with self.translated():
            yield from method(request)

    def send(
        self,
        method: grpc.StreamUnaryMultiCallable[Request, Response],
        requests: Iterator[Request],
    ) -> Response:
        """Call a method that is asked in many messages; errors as in `call`."""
        with self.translated():
            return method(requests)

    def revive_after(self, error: grpc.RpcError) -> bool:
        """Start the server again if its absence was the error; say whether that was done."""
        if self._revive is None or error.code() != grpc.StatusCode.UNAVAILABLE:
            return False
        self._revive()
        return True

    def translate(self, error: grpc.RpcError) -> errors.ClientError:
        """Return the error of this package for an error of gRPC."""
        return errors.from_rpc(error, str(self.address))

    def translated(self) -> _Translation:
        """Return a context in which errors of gRPC become errors of this package."""
        return _Translation(self)

    def close(self) -> None:
        """Close the channel."""
        self._channel.close()


class _Translation:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, grpc.RpcError):
            raise self._connection.translate(error) from None


def _safe_retries() -> str:
    # RetryJob and the deletions are left out: said twice, they mean something else.
    safe = [{"service": "dl4mic.v1.NetworkService"}, {"service": "dl4mic.v1.CatalogService"}]
    safe += [
        {"service": "dl4mic.v1.JobService", "method": method}
        for method in ("GetJob", "ListJobs", "ReadLog", "CancelJob")
    ]
    policy = {
        "maxAttempts": 4,
        "initialBackoff": "0.1s",
        "maxBackoff": "1s",
        "backoffMultiplier": 3,
        # The second is what a call meets that reaches a server in the moment of its end.
        "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"],
    }
    return json.dumps({"methodConfig": [{"name": safe, "retryPolicy": policy}]})


_CHANNEL_OPTIONS: list[tuple[str, str | int]] = [
    ("grpc.service_config", _safe_retries()),
    # A server that starts again is found again quickly.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2000),
    # Unlike its name, what a connection has to come about: a server may be far away, and TLS asks it more than once.
    ("grpc.min_reconnect_backoff_ms", 5000),
    # Servers stand in the same lab or on the same machine: never behind a web proxy.
    ("grpc.enable_http_proxy", 0),
]
