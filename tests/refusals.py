# SPDX-License-Identifier: BSD-3-Clause
"""How a server refuses what is wrong, and requests with which to make it do so."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from servers import Server, value_of

from dl4mic.v1.data_pb2 import Dataset, ListDataRequest, ModelReference
from dl4mic.v1.data_pb2_grpc import DataServiceStub
from dl4mic.v1.job_pb2 import GetJobRequest, Job, JobError
from dl4mic.v1.model_pb2 import ListModelsRequest
from dl4mic.v1.model_pb2_grpc import ModelServiceStub
from dl4mic.v1.network_pb2 import DescribeRequest
from dl4mic.v1.request_pb2 import PredictRequest, QcRequest, TrainRequest

Request = TrainRequest | QcRequest | PredictRequest
Words = tuple[str, ...]
Spoil = Callable[[Path], object]
Refuse = Callable[[Request], "Refusal"]

REFUSED = "refused"
"""Name of the model that no refused training may make."""

INSTANCE_STATES = {Job.STARTING, Job.RUNNING}
"""A job has these when an orchestrator has given it an instance."""


@dataclass(frozen=True)
class Refusal:
    """How a server said no.

    Attributes
    ----------
    code
        Name of the call's status, or of the job's error.
    said
        Message and hint, or the fields' descriptions.
    fields
        Fields of the request that a status names -> what is wrong with them.
    files
        Names of the files that the job's error names -> what is wrong with them.
    file_count
        How many are at fault in all.
    job_id
        Of the job that came of it, if one did.
    """

    code: str
    said: str
    fields: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    file_count: int = 0
    job_id: str = ""

    def assert_says(self, *words: str) -> None:
        """See that all the words are part of it."""
        assert [each for each in words if each not in self.said] == [], self.said

    def assert_field(self, name: str, *words: str) -> None:
        """See that the call was refused for a field, in words."""
        assert (self.code, name in self.fields) == ("INVALID_ARGUMENT", True), self
        description = self.fields[name]
        assert [each for each in words if each not in description] == [], description
        assert "Traceback" not in self.said


def refusal_of(server: Server, request: Request) -> Refusal:
    """Send what must be refused; when a job comes of it, see that no instance was asked for."""
    try:
        job_id = call(server, request).id
    except grpc.RpcError as error:
        return of_status(error)
    job = server.wait(job_id)
    assert job.state == Job.FAILED, job
    seen = {each.state.state for each in server.events(job_id) if each.HasField("state")}
    assert server.kind == "service" or not seen & INSTANCE_STATES
    assert job.attempt == 1 and job.error.hint
    assert len(job.error.files) <= 100 and "Traceback" not in job.error.message
    return Refusal(
        JobError.Code.Name(job.error.code),
        f"{job.error.message}\n{job.error.hint}",
        files={Path(each.path).name: each.message for each in job.error.files},
        file_count=job.error.file_count,
        job_id=job_id,
    )


def call(server: Server, request: Request) -> Job:
    """Send a request of any verb."""
    networks = server.networks
    calls = {TrainRequest: networks.Train, QcRequest: networks.Qc, PredictRequest: networks.Predict}
    return calls[type(request)](request)  # type: ignore[operator]


def refusal_of_call(call_: Callable[[object], object], request: object) -> Refusal:
    """Make any call that must be refused."""
    try:
        answer = call_(request)
    except grpc.RpcError as error:
        return of_status(error)
    raise AssertionError(f"was not refused: {answer}")


def of_status(error: grpc.RpcError) -> Refusal:
    """Take the status of a refused call apart."""
    found = {}
    for detail in getattr(rpc_status.from_call(error), "details", []):
        bad = error_details_pb2.BadRequest()
        if detail.Unpack(bad):
            found.update({each.field: each.description for each in bad.field_violations})
    said = "\n".join([error.details(), *found.values()])
    return Refusal(error.code().name, said, found)


def assert_unharmed(server: Server, jobs: list[str]) -> None:
    """See that a server answers, and that nothing of refused jobs was published."""
    assert server.networks.Describe(DescribeRequest(network="blur")).name == "blur"
    for job_id in jobs:
        job = server.jobs.GetJob(GetJobRequest(job_id=job_id))
        assert (job.model, list(job.artifacts)) == ("", [])
        try:
            listed = DataServiceStub(server.channel).ListData(
                ListDataRequest(location=f"job:{job_id}/")
            )
            assert list(listed.entries) == []
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.NOT_FOUND
    if server.kind == "orchestrator":
        models = ModelServiceStub(server.channel).ListModels(ListModelsRequest())
        assert REFUSED not in {each.name for each in models.models}


def write_model(folder: Path, **changed: object) -> None:
    """Write a folder of a model that can be used, but for what is changed in its record."""
    record = {"network": "blur", "complete": True, "weights": ["best"], "data": {}, **changed}
    (folder / "model.json").write_text(json.dumps(record))
    (folder / "weights_best.json").write_text(json.dumps({"threshold": 0.5, "sigma": 1.0}))


def train_on(folder: Path, **parameters: object) -> TrainRequest:
    """Train on the folders ``images`` and ``masks``."""
    return TrainRequest(
        network="blur",
        data=Dataset(source=f"{folder}/images", target=f"{folder}/masks"),
        model=REFUSED,
        parameters={name: value_of(value) for name, value in parameters.items()},
    )


def predict_with(model: object, data: str = "lab:test/images", weights: str = "") -> PredictRequest:
    """Apply a model to a folder."""
    reference = ModelReference(name=str(model), weights=weights)
    return PredictRequest(network="blur", model=reference, data=Dataset(source=data))


def qc_with(model: object) -> QcRequest:
    """Score a model."""
    data = Dataset(source="lab:test/images", target="lab:test/masks")
    return QcRequest(network="blur", models=[ModelReference(name=str(model))], data=data)


def train_from(model: object) -> TrainRequest:
    """Train on from a model."""
    data = Dataset(source="lab:train/images", target="lab:train/masks")
    parent = ModelReference(name=str(model))
    return TrainRequest(network="blur", data=data, model=REFUSED, parent=parent)
