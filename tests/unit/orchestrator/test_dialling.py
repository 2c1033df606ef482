# SPDX-License-Identifier: BSD-3-Clause
"""Calls of instances over real sockets."""

from __future__ import annotations

import grpc
from slow_line import slow_line

from dl4mic.server import listen
from dl4mic.v1.job_pb2 import Job
from dl4mic.v1.network_pb2_grpc import NetworkServiceServicer, add_NetworkServiceServicer_to_server
from dl4mic.v1.request_pb2 import TrainRequest
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
