# SPDX-License-Identifier: BSD-3-Clause
"""Streams do not hold a server: they are bounded, and one that stands still is cut, however it stands still."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent import futures

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from dl4mic.server import CallInterceptor
from dl4mic.streams import Streams
from dl4mic.v1.data_pb2 import (
    GetDataRequest,
    GetDataResponse,
    ListDataRequest,
    ListDataResponse,
    PutDataRequest,
    PutDataResponse,
)
from dl4mic.v1.data_pb2_grpc import (
    DataServiceServicer,
    DataServiceStub,
    add_DataServiceServicer_to_server,
)

MOST = 3


class Endless(DataServiceServicer):
    """Sends without end, takes without end, and counts what it is at."""

    def __init__(self) -> None:
        self.open = 0
        self.go = threading.Event()

    def GetData(self, request: GetDataRequest, context: object) -> Iterator[GetDataResponse]:
        self.open += 1
        try:
            if request.offset:  # a watch: nothing to say for a long time
                yield GetDataResponse()
                self.go.wait(20)
            while not request.offset:
                yield GetDataResponse(chunk=bytes(1 << 20))
        finally:
            self.open -= 1

    def PutData(self, requests: Iterator[PutDataRequest], context: object) -> PutDataResponse:
        self.open += 1
        try:
            for _ in requests:
                pass
            return PutDataResponse()
        finally:
            self.open -= 1

    def ListData(self, request: ListDataRequest, context: object) -> ListDataResponse:
        return ListDataResponse(next_page_token="here")


@pytest.fixture
def endless() -> Endless:
    return Endless()


@pytest.fixture
def stub(endless: Endless) -> Iterator[DataServiceStub]:
    interceptor = CallInterceptor(Streams(MOST, stall_seconds=1.0))
    pool = futures.ThreadPoolExecutor(max_workers=MOST + 1)
    server = grpc.server(pool, interceptors=[interceptor])
    add_DataServiceServicer_to_server(endless, server)
    port = server.add_insecure_port("localhost:0")
    server.start()
    with grpc.insecure_channel(f"localhost:{port}") as channel:
        yield DataServiceStub(channel)
    endless.go.set()
    server.stop(0).wait()


def wait_until(count: int, endless: Endless) -> None:
    end = time.monotonic() + 20
    while endless.open != count:
        assert time.monotonic() < end, endless.open
        time.sleep(0.02)


def answers(stub: DataServiceStub) -> bool:
    return stub.ListData(ListDataRequest(), timeout=5).next_page_token == "here"


def test_a_client_that_never_reads_is_cut(stub: DataServiceStub, endless: Endless) -> None:
    calls = [stub.GetData(GetDataRequest()) for _ in range(MOST)]
    wait_until(MOST, endless)
    assert answers(stub)
    wait_until(0, endless)
    with pytest.raises(grpc.RpcError) as caught:
        for _ in calls[0]:
            pass
    assert caught.value.code() is grpc.StatusCode.CANCELLED
    assert answers(stub)


def test_an_upload_that_never_sends_is_cut(stub: DataServiceStub, endless: Endless) -> None:
    gate = threading.Event()

    def requests() -> Iterator[PutDataRequest]:
        yield PutDataRequest(chunk=b"x")
        gate.wait(20)

    upload = stub.PutData.future(requests())
    wait_until(1, endless)
    wait_until(0, endless)
    gate.set()
    assert upload.exception().code() is grpc.StatusCode.CANCELLED
    assert answers(stub)


def test_a_watch_may_be_silent_for_long(stub: DataServiceStub, endless: Endless) -> None:
    call = stub.GetData(GetDataRequest(offset=1))
    next(call)
    time.sleep(2.0)  # twice what a stream may stand still
    assert endless.open == 1
    endless.go.set()
    assert list(call) == []


def test_more_streams_than_there_may_be_are_refused_in_words(
    stub: DataServiceStub, endless: Endless
) -> None:
    watches = [stub.GetData(GetDataRequest(offset=1)) for _ in range(MOST)]
    for watch in watches:
        next(watch)
    with pytest.raises(grpc.RpcError) as caught:
        next(stub.GetData(GetDataRequest(offset=1)))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "as many watches" in caught.value.details()
    info = error_details_pb2.ErrorInfo()
    assert rpc_status.from_call(caught.value).details[0].Unpack(info)
    assert info.reason == "TOO_MANY_STREAMS" and info.metadata["hint"]
    assert answers(stub)
    endless.go.set()
    assert [list(watch) for watch in watches] == [[]] * MOST
    assert answers(stub)
