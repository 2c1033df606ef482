# SPDX-License-Identifier: BSD-3-Clause
"""An instance answers whoever shows the token that it was launched with, and nobody else."""

import subprocess
import sys
from pathlib import Path

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from dl4mic.bearer import showing
from dl4mic.server import listen
from dl4mic.v1.data_pb2 import GetDataRequest, PutDataRequest
from dl4mic.v1.data_pb2_grpc import DataServiceStub
from dl4mic.v1.job_pb2 import ListJobsRequest, ListJobsResponse
from dl4mic.v1.job_pb2_grpc import (
    JobServiceServicer,
    JobServiceStub,
    add_JobServiceServicer_to_server,
)
from dl4mic_sdk.host.token_check import TokenCheck

BLUR = Path(__file__).resolve().parents[3] / "fakes" / "blur"
TOKEN = "of-32-random-bytes"


class NoJobs(JobServiceServicer):
    def ListJobs(self, request, context):
        return ListJobsResponse()


@pytest.fixture
def address(tmp_path):
    (tmp_path / "token").write_text(TOKEN + "\n")
    servicers = {add_JobServiceServicer_to_server: NoJobs()}
    interceptors = [TokenCheck(tmp_path / "token")]
    listening = listen("localhost:0", servicers, workers=8, interceptors=interceptors)
    yield listening.address
    listening.server.stop(None)


@pytest.fixture
def channel(address):
    with grpc.insecure_channel(address) as channel:
        yield channel


def reason_of(call):
    with pytest.raises(grpc.RpcError) as raised:
        call()
    assert raised.value.code() == grpc.StatusCode.UNAUTHENTICATED
    (detail,) = rpc_status.from_call(raised.value).details
    info = error_details_pb2.ErrorInfo()
    detail.Unpack(info)
    return info.reason


def test_who_shows_the_token_is_answered(channel):
    stub = JobServiceStub(showing(channel, TOKEN))
    assert stub.ListJobs(ListJobsRequest()) == ListJobsResponse()


@pytest.mark.parametrize("token", ["", TOKEN[:-1], TOKEN + "x"])
def test_who_shows_another_is_refused(channel, token, caplog):
    shown = ("authorization", "Bearer " + token)
    call = JobServiceStub(channel).ListJobs
    assert reason_of(lambda: call(ListJobsRequest(), metadata=[shown])) == "UNAUTHENTICATED"
    assert reason_of(lambda: call(ListJobsRequest())) == "UNAUTHENTICATED"
    assert "a call of ipv" in caplog.text and "did not show the token" in caplog.text
    assert TOKEN not in caplog.text


def test_streams_are_refused_before_they_begin(channel):
    data = DataServiceStub(channel)
    assert reason_of(lambda: list(data.GetData(GetDataRequest()))) == "UNAUTHENTICATED"
    messages = iter([PutDataRequest(chunk=b"1")] * 3)
    assert reason_of(lambda: data.PutData(messages)) == "UNAUTHENTICATED"


def test_whoever_asks_for_health_needs_no_token(channel):
    answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


@pytest.mark.parametrize(
    ("content", "words"), [(None, "No such file"), ("\n", "holds no token")], ids=["none", "empty"]
)
def test_a_service_that_cannot_read_its_token_does_not_serve(tmp_path, content, words):
    if content is not None:
        (tmp_path / "token").write_text(content)
    command = [sys.executable, "-m", "dl4mic_sdk", "serve", str(BLUR), "--listen", "localhost:0"]
    command += ["--jobs", str(tmp_path / "jobs"), "--token", str(tmp_path / "token")]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert run.returncode == 2 and run.stdout == ""
    assert words in run.stderr and "Traceback" not in run.stderr
