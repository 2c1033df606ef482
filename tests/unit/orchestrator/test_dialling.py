# SPDX-License-Identifier: BSD-3-Clause
"""Calls of instances over real sockets."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from slow_line import slow_line

from dl4mic.bearer import shown
from dl4mic.server import listen
from dl4mic.v1.job_pb2 import Job
from dl4mic.v1.network_pb2_grpc import NetworkServiceServicer, add_NetworkServiceServicer_to_server
from dl4mic.v1.request_pb2 import TrainRequest
from dl4mic_orchestrator import dial as dial_module
from dl4mic_orchestrator.dial import dial


class Instance(NetworkServiceServicer):
    def __init__(self) -> None:
        self.assigned: list[str] = []

    def Train(self, request: TrainRequest, context: grpc.ServicerContext) -> Job:
        self.assigned.append(request.model)
        return Job()


def test_an_instance_whose_machine_is_busy_takes_its_job_at_the_first_call() -> None:
    instance = Instance()
    listening = listen("localhost:0", {add_NetworkServiceServicer_to_server: instance})
    port = int(listening.address.rpartition(":")[2])
    try:
        with slow_line(port, seconds=0.7) as line, dial(f"127.0.0.1:{line}") as called:
            called.assign(TrainRequest(network="blur", model="m"))
    finally:
        listening.server.stop(None)
    assert instance.assigned == ["m"]


def test_an_instance_is_shown_its_token_and_one_that_asks_for_none_is_called_without(
    tmp_path: Path,
) -> None:
    token = tmp_path / "token"
    token.write_text("abc")
    listening = listen(
        "localhost:0",
        {add_NetworkServiceServicer_to_server: Instance()},
        interceptors=[Shown(seen := [])],
    )
    try:
        for file in (token, None):
            with dial(listening.address, file) as called:
                called.assign(TrainRequest(network="blur", model="m"))
    finally:
        listening.server.stop(None)
    assert seen == ["abc", ""]


class Shown(grpc.ServerInterceptor):
    """Writes down the tokens that calls show."""

    def __init__(self, seen: list[str]) -> None:
        self._seen = seen

    def intercept_service(self, continuation: Callable[..., Any], details: Any) -> Any:
        self._seen.append(shown(details.invocation_metadata))
        return continuation(details)


class Silent(NetworkServiceServicer):
    """Takes a call and answers none, until it is let go."""

    def __init__(self) -> None:
        self.called = threading.Event()
        self.let_go = threading.Event()

    def Train(self, request: TrainRequest, context: grpc.ServicerContext) -> Job:
        self.called.set()
        self.let_go.wait(60)
        return Job()


@contextmanager
def vanishing_line(port: int, vanished: threading.Event) -> Iterator[int]:
    """Give a port that leads to another one until that vanishes: then nothing comes any more, not even an end."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def carry() -> None:
            near, _ = listening.accept()
            with near, socket.create_connection(("127.0.0.1", port)) as far:
                while not vanished.is_set():
                    for each in select.select([near, far], [], [], 0.1)[0]:
                        (far if each is near else near).sendall(each.recv(65536))
                gone.wait(60)

        gone = threading.Event()
        thread = threading.Thread(target=carry, daemon=True)
        thread.start()
        try:
            yield int(listening.getsockname()[1])
        finally:
            gone.set()
            thread.join(10)


def test_a_call_of_an_instance_whose_machine_has_vanished_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slow = ("grpc.keepalive_time_ms", "grpc.keepalive_timeout_ms", "grpc.http2.ping_timeout_ms")
    quick = [
        (name, value // 100 if name in slow else value) for name, value in dial_module._OPTIONS
    ]
    monkeypatch.setattr(dial_module, "_OPTIONS", quick)
    instance, vanished = Silent(), threading.Event()
    listening = listen("localhost:0", {add_NetworkServiceServicer_to_server: instance})
    port = int(listening.address.rpartition(":")[2])
    try:
        with vanishing_line(port, vanished) as line, dial(f"127.0.0.1:{line}") as called:
            answer = called.networks.Train.future(TrainRequest(network="blur"), timeout=15)
            assert instance.called.wait(20)
            vanished.set()
            assert answer.code() is grpc.StatusCode.UNAVAILABLE
    finally:
        instance.let_go.set()
        listening.server.stop(None)
