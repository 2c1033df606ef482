# SPDX-License-Identifier: BSD-3-Clause
"""A real server and a real client with the committed stubs, under whatever Python and protobuf this is run with."""

from __future__ import annotations

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from dl4mic.check import Refused, Violation
from dl4mic.server import RpcError, listen
from dl4mic.v1 import data_pb2, job_pb2, network_pb2, parameter_pb2, request_pb2
from dl4mic.v1.data_pb2_grpc import (
    DataServiceServicer,
    DataServiceStub,
    add_DataServiceServicer_to_server,
)
from dl4mic.v1.job_pb2_grpc import (
    JobServiceServicer,
    JobServiceStub,
    add_JobServiceServicer_to_server,
)
from dl4mic.v1.network_pb2_grpc import (
    NetworkServiceServicer,
    NetworkServiceStub,
    add_NetworkServiceServicer_to_server,
)


class Networks(NetworkServiceServicer):
    def Train(self, request, context):
        if not request.model:
            raise Refused([Violation("model", "is empty")])
        job = job_pb2.Job(id="a", train=request)
        job.create_time.GetCurrentTime()
        return job

    def Qc(self, request, context):
        raise ValueError("a defect")

    def PredictImage(self, requests, context):
        for request in requests:
            yield network_pb2.PredictImageResponse(chunk=request.chunk)


class Jobs(JobServiceServicer):
    def WatchJob(self, request, context):
        for sequence in range(request.after_sequence + 1, 4):
            yield job_pb2.JobEvent(sequence=sequence, metric=job_pb2.Metric(name="loss", value=0.5))
        raise RpcError(grpc.StatusCode.NOT_FOUND, "gone", "JOB_NOT_FOUND", "look elsewhere")


class Data(DataServiceServicer):
    def PutData(self, requests, context):
        size = sum(len(each.chunk) for each in requests)
        return data_pb2.PutDataResponse(entry=data_pb2.DataEntry(size=size))


@pytest.fixture
def channel(tmp_path):
    listening = listen(
        "unix://{}/s.sock".format(tmp_path),
        {
            add_NetworkServiceServicer_to_server: Networks(),
            add_JobServiceServicer_to_server: Jobs(),
            add_DataServiceServicer_to_server: Data(),
        },
    )
    with grpc.insecure_channel("unix:{}/s.sock".format(tmp_path)) as channel:
        yield channel
    listening.server.stop(None).wait()


def test_unary_with_map_oneof_optional_and_timestamp(channel):
    request = request_pb2.TrainRequest(
        model="nuclei", parameters={"epochs": parameter_pb2.ParameterValue(integer=100)}
    )
    request.options.deadline.seconds = 60
    job = NetworkServiceStub(channel).Train(request)
    assert job.train == request
    assert job.create_time.seconds > 0
    assert job.train.parameters["epochs"].WhichOneof("kind") == "integer"
    assert not parameter_pb2.Parameter().HasField("minimum")


def test_streams_in_both_directions(channel):
    data = DataServiceStub(channel)
    chunks = (data_pb2.PutDataRequest(chunk=b"x" * 1000) for _ in range(5))
    assert data.PutData(chunks).entry.size == 5000
    parts = (network_pb2.PredictImageRequest(chunk=bytes([number])) for number in range(3))
    answers = list(NetworkServiceStub(channel).PredictImage(parts))
    assert [each.chunk for each in answers] == [b"\0", b"\1", b"\2"]


def test_a_refusal_has_the_field_in_its_details(channel):
    with pytest.raises(grpc.RpcError) as caught:
        NetworkServiceStub(channel).Train(request_pb2.TrainRequest())
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    details = rpc_status.from_call(caught.value).details
    bad = error_details_pb2.BadRequest()
    assert any(each.Unpack(bad) for each in details)
    assert [(each.field, each.description) for each in bad.field_violations] == [
        ("model", "is empty")
    ]


def test_an_error_in_mid_stream_comes_after_what_was_sent(channel):
    events = []
    with pytest.raises(grpc.RpcError) as caught:
        for event in JobServiceStub(channel).WatchJob(job_pb2.WatchJobRequest(after_sequence=1)):
            events.append(event.sequence)
    assert (events, caught.value.code()) == ([2, 3], grpc.StatusCode.NOT_FOUND)
    info = error_details_pb2.ErrorInfo()
    assert any(each.Unpack(info) for each in rpc_status.from_call(caught.value).details)
    assert (info.reason, info.metadata["hint"]) == ("JOB_NOT_FOUND", "look elsewhere")


def test_a_defect_is_told_by_number_and_not_by_traceback(channel):
    with pytest.raises(grpc.RpcError) as caught:
        NetworkServiceStub(channel).Qc(request_pb2.QcRequest())
    assert caught.value.code() == grpc.StatusCode.INTERNAL
    assert "a defect" not in caught.value.details()


def test_health(channel):
    answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=""))
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
