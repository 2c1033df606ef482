# SPDX-License-Identifier: BSD-3-Clause
"""Registered models are checked whenever they are used: one whose content was changed is refused, whatever the use."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import grpc
import numpy as np
import pytest

from dl4mic.v1.data_pb2 import Dataset, ModelReference
from dl4mic.v1.job_pb2 import Job, JobError
from dl4mic.v1.network_pb2 import ImageHeader, PredictImageRequest
from dl4mic.v1.request_pb2 import ExportModelRequest, JobOptions, PredictRequest, QcRequest

from .conftest import Orchestrator

SPOTS = ModelReference(name="spots:1")


def export(orchestrator: Orchestrator) -> None:
    options = JobOptions(job_id="export")
    request = ExportModelRequest(network="blur", options=options, model=SPOTS)
    orchestrator.networks.ExportModel(request)


def predict(orchestrator: Orchestrator) -> None:
    data, options = Dataset(source="lab:test/images"), JobOptions(job_id="predict")
    request = PredictRequest(network="blur", options=options, model=SPOTS, data=data)
    orchestrator.networks.Predict(request)


def score(orchestrator: Orchestrator) -> None:
    request = QcRequest(network="blur", options=JobOptions(job_id="score"), models=[SPOTS])
    request.data.CopyFrom(orchestrator.dataset("test"))
    orchestrator.networks.Qc(request)


def go_on(orchestrator: Orchestrator) -> None:
    request = orchestrator.train_request("go-on", epochs=1)
    request.parent.CopyFrom(SPOTS)
    orchestrator.networks.Train(request)


def image() -> Iterator[PredictImageRequest]:
    header = PredictImageRequest.Header(network="blur", model=SPOTS)
    header.image.CopyFrom(ImageHeader(axes="YX", shape=[8, 8], dtype="uint8"))
    yield PredictImageRequest(header=header)
    yield PredictImageRequest(chunk=np.zeros((8, 8), np.uint8).tobytes())


@pytest.fixture
def tampered(new_orchestrator: Callable[..., Orchestrator]) -> Orchestrator:
    """An orchestrator whose model somebody has changed on disk."""
    orchestrator = new_orchestrator()
    orchestrator.train("t", epochs=1)
    assert orchestrator.wait("t").state == Job.SUCCEEDED
    weights = next((orchestrator.workspace / "models/models/spots/1").glob("weights_best*"))
    weights.write_bytes(weights.read_bytes() + b" ")
    return orchestrator


def test_a_model_that_was_tampered_with_is_not_used(tampered: Orchestrator) -> None:
    for use in (export, predict, score, go_on):
        use(tampered)
        job = tampered.wait(use.__name__.replace("_", "-"))
        assert (job.state, job.error.code) == (Job.FAILED, JobError.INVALID_INPUT), use
        assert "changed after it was published" in job.error.message
        assert job.error.hint == "Choose another model."
    with pytest.raises(grpc.RpcError) as caught:
        list(tampered.networks.PredictImage(image()))
    assert caught.value.code() is grpc.StatusCode.DATA_LOSS
