# SPDX-License-Identifier: BSD-3-Clause
"""Streams that are too large, stop half way, meet each other, or are never read: nothing half done stays."""

from __future__ import annotations

import hashlib
import os
import threading
import uuid
from collections.abc import Iterator

import grpc
import numpy as np
import pytest
from servers import Server

from dl4mic.v1.data_pb2 import GetDataRequest, ListDataRequest, ModelReference, PutDataRequest
from dl4mic.v1.data_pb2_grpc import DataServiceStub
from dl4mic.v1.job_pb2 import CancelJobRequest, GetJobRequest, Job, ListJobsRequest, WatchJobRequest
from dl4mic.v1.job_pb2_grpc import JobServiceStub
from dl4mic.v1.network_pb2 import ImageHeader, PredictImageRequest
from dl4mic.v1.request_pb2 import TrainRequest

MIB = 1 << 20
WATCHERS = 200


@pytest.fixture
def at() -> str:
    """A location of its own, on a server that other tests use, too."""
    return f"uploads:{uuid.uuid4().hex}/image.tif"


def data(server: Server) -> DataServiceStub:
    return DataServiceStub(server.channel)


def answers(server: Server) -> bool:
    server.jobs.ListJobs(ListJobsRequest(), timeout=20)
    return True


def listed(server: Server, at: str) -> list[tuple[int, bool]]:
    request = ListDataRequest(location=at.rpartition("/")[0])
    return [(each.size, each.complete) for each in data(server).ListData(request).entries]


def header(content: bytes, at: str, offset: int = 0) -> PutDataRequest:
    digest = hashlib.sha256(content).hexdigest()
    return PutDataRequest(
        header=PutDataRequest.Header(location=at, size=len(content), sha256=digest, offset=offset)
    )


def upload(
    content: bytes,
    at: str,
    offset: int = 0,
    gate: threading.Event | None = None,
    size: int = MIB,
) -> Iterator[PutDataRequest]:
    yield header(content, at, offset)
    for start in range(offset, len(content), size):
        yield PutDataRequest(chunk=content[start : start + size])
        if gate is not None:
            gate.wait(60)


def refused(call: object) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as caught:
        call()  # type: ignore[operator]
    return caught.value


def test_an_oversized_message_is_refused_in_words(server: Server) -> None:
    request = TrainRequest(network="blur", model="m" * (5 * MIB), data=server.dataset())
    error = refused(lambda: server.networks.Train(request))
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "larger than max" in error.details()
    assert answers(server)


@pytest.mark.parametrize(
    ("size", "code", "words"),
    [
        (2 * MIB, grpc.StatusCode.INVALID_ARGUMENT, f"a chunk has at most {MIB}"),
        (5 * MIB, grpc.StatusCode.RESOURCE_EXHAUSTED, "larger than max"),
    ],
)
def test_an_oversized_chunk_is_refused_in_words(
    server: Server, at: str, size: int, code: grpc.StatusCode, words: str
) -> None:
    content = os.urandom(6 * MIB)
    error = refused(lambda: data(server).PutData(upload(content, at, size=size)))
    assert error.code() is code and words in error.details()
    assert all(not complete for _, complete in listed(server, at))
    assert data(server).PutData(upload(content, at)).entry.complete
    assert answers(server)


def test_an_upload_that_stops_half_way_goes_on(server: Server, at: str) -> None:
    content = os.urandom(4 * MIB + 17)
    gate = threading.Event()
    call = data(server).PutData.future(upload(content, at, gate=gate))
    for _ in range(1000):
        if any(size for size, _ in listed_or_none(server, at)):
            break
        threading.Event().wait(0.02)
    call.cancel()
    gate.set()
    for _ in range(1000):  # the server notices the end of the call a moment later
        try:
            entry = data(server).PutData(upload(content, at, offset=MIB)).entry
            break
        except grpc.RpcError as error:
            assert error.code() is grpc.StatusCode.ABORTED, error
            threading.Event().wait(0.02)
    assert entry.complete and listed(server, at) == [(len(content), True)]
    parts = list(data(server).GetData(GetDataRequest(location=at)))
    assert b"".join(part.chunk for part in parts) == content


def listed_or_none(server: Server, at: str) -> list[tuple[int, bool]]:
    try:
        return listed(server, at)
    except grpc.RpcError:
        return []


def test_of_two_uploads_of_a_file_one_wins_whole(server: Server, at: str) -> None:
    contents = [os.urandom(3 * MIB) for _ in range(2)]
    gate = threading.Event()
    first = data(server).PutData.future(upload(contents[0], at, gate=gate))
    while not listed_or_none(server, at):
        threading.Event().wait(0.02)
    error = refused(lambda: data(server).PutData(upload(contents[1], at)))
    assert error.code() is grpc.StatusCode.ABORTED and "another call" in error.details()
    gate.set()
    assert first.result(60).entry.sha256 == hashlib.sha256(contents[0]).hexdigest()
    parts = list(data(server).GetData(GetDataRequest(location=at)))
    assert parts[-1].sha256 == hashlib.sha256(contents[0]).hexdigest()
    # The same again is no harm.
    assert data(server).PutData(upload(contents[0], at)).entry.complete


def test_a_download_that_is_never_read_blocks_nobody(server: Server, at: str) -> None:
    content = os.urandom(8 * MIB)
    data(server).PutData(upload(content, at))
    unread = [data(server).GetData(GetDataRequest(location=at)) for _ in range(80)]
    assert all(answers(server) for _ in range(20))
    parts = list(data(server).GetData(GetDataRequest(location=at, offset=7 * MIB)))
    assert len(parts) == 3
    for call in unread:
        call.cancel()
    assert answers(server)


def test_two_hundred_watchers_leave_room_for_others(server: Server) -> None:
    server.train("watched", epochs=1000, step_seconds=0.2)
    request = WatchJobRequest(job_id="watched")
    watches = [JobServiceStub(server.channel).WatchJob(request) for _ in range(WATCHERS)]
    for watch in watches:
        assert next(watch).sequence == 1
    assert all(answers(server) for _ in range(20))
    assert server.jobs.GetJob(GetJobRequest(job_id="watched"), timeout=20).id == "watched"
    server.jobs.CancelJob(CancelJobRequest(job_id="watched"), timeout=20)
    for watch in watches:
        assert list(watch)[-1].state.state == Job.CANCELLED


def image(model: str, cut: bool = False, chunk: int = MIB) -> Iterator[PredictImageRequest]:
    pixels = np.full((1000, 1000), 100, np.uint16)
    first = PredictImageRequest.Header(network="blur", model=ModelReference(name=model))
    first.image.CopyFrom(ImageHeader(axes="YX", shape=pixels.shape, dtype="uint16"))
    yield PredictImageRequest(header=first)
    content = pixels.tobytes()
    yield PredictImageRequest(chunk=content[:chunk])
    if cut:
        raise RuntimeError("the client is gone")
    yield PredictImageRequest(chunk=content[chunk:])


def test_an_image_that_stops_half_way_leaves_the_next_alone(server: Server) -> None:
    server.train("for-images", epochs=1)
    model = server.wait("for-images").model
    with pytest.raises(grpc.RpcError):
        list(server.networks.PredictImage(image(model, cut=True)))
    with pytest.raises(grpc.RpcError) as caught:
        list(server.networks.PredictImage(image(model, chunk=1_900_000)))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert f"at most {MIB}" in caught.value.details()
    answer = list(server.networks.PredictImage(image(model), timeout=120))
    assert answer[0].HasField("header")
    assert answers(server)
