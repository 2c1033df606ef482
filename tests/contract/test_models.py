# SPDX-License-Identifier: BSD-3-Clause
"""Models go out to other programs and come in from them, at every server of the contract alike."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
from servers import Server

from dl4mic.v1.data_pb2 import Dataset, GetDataRequest, ListDataRequest, ModelReference
from dl4mic.v1.data_pb2_grpc import DataServiceStub
from dl4mic.v1.job_pb2 import Job, JobError
from dl4mic.v1.model_pb2 import GetModelRequest
from dl4mic.v1.model_pb2_grpc import ModelServiceStub
from dl4mic.v1.request_pb2 import (
    ExportModelRequest,
    ImportModelRequest,
    JobOptions,
    PredictRequest,
    TrainRequest,
)

PLAIN = {"threshold": 0.4, "sigma": 1.5, "licence": "CC0-1.0"}


@pytest.fixture(scope="module")
def trained(server: Server) -> Job:
    server.train("origin", epochs=3)
    job = server.wait("origin")
    assert job.state == Job.SUCCEEDED, job.error
    return job


def content(server: Server, location: str) -> bytes:
    request = GetDataRequest(location=location)
    return b"".join(part.chunk for part in DataServiceStub(server.channel).GetData(request))


def exported(server: Server, model: str, format: str, job_id: str) -> str:
    """Export a model; return the location of the archive."""
    request = ExportModelRequest(network="blur", format=format)
    request.options.job_id, request.model.name = job_id, model
    server.networks.ExportModel(request)
    job = server.wait(job_id)
    assert job.state == Job.SUCCEEDED, job.error
    (artifact,) = job.artifacts
    assert artifact.path.endswith(f"-{format}.zip") and artifact.size > 0
    return f"job:{job_id}/{artifact.path}"


def imported(server: Server, source: object, name: str, format: str = "") -> Job:
    request = ImportModelRequest(network="blur", source=str(source), model=name, format=format)
    request.options.job_id = f"import-{name}"
    server.networks.ImportModel(request)
    return server.wait(request.options.job_id)


def predicted(server: Server, model: str, job_id: str) -> list[bytes]:
    request = PredictRequest(
        network="blur",
        options=JobOptions(job_id=job_id),
        model=ModelReference(name=model),
        data=Dataset(source="lab:test/images"),
    )
    server.networks.Predict(request)
    job = server.wait(job_id)
    assert job.state == Job.SUCCEEDED, job.error
    listing = ListDataRequest(location=f"job:{job_id}/predictions")
    entries = DataServiceStub(server.channel).ListData(listing).entries
    names = sorted(each.location for each in entries if each.location.endswith(".tif"))
    assert len(names) == 5
    return [content(server, name) for name in names]


@pytest.mark.parametrize("format", ["dl4mic", "plain"])
def test_a_model_that_goes_out_and_comes_back_predicts_the_same(
    server: Server, trained: Job, format: str
) -> None:
    source = exported(server, trained.model, format, f"out-{format}")
    job = imported(server, source, f"back-{format}")
    assert job.state == Job.SUCCEEDED, job.error
    assert [each.path for each in job.artifacts] == ["model"]
    again = predicted(server, job.model, f"predict-{format}")
    assert again == predicted(server, trained.model, f"predict-original-{format}")


def test_a_model_of_our_own_stays_the_same_model(server: Server, trained: Job) -> None:
    """Its record is untouched, and so is its digest, by which its scores are found."""
    source = exported(server, trained.model, "dl4mic", "out-same")
    job = imported(server, source, "same", "dl4mic")
    record = content(server, "job:import-same/model/model.json")
    assert record == content(server, "job:origin/model/model.json")
    if server.kind == "orchestrator":
        models = ModelServiceStub(server.channel)
        found = [models.GetModel(GetModelRequest(model=each.model)) for each in (trained, job)]
        assert found[0].digest == found[1].digest
        assert job.model == "same:1"


def test_the_record_says_where_a_model_comes_from(server: Server, tmp_path: Path) -> None:
    (tmp_path / "threshold.json").write_text(json.dumps(PLAIN))
    job = imported(server, tmp_path, "foreign")
    assert job.state == Job.SUCCEEDED, job.error
    record = json.loads(content(server, "job:import-foreign/model/model.json"))
    origin = record["origin"]
    assert (origin["format"], origin["file"], len(origin["sha256"])) == ("plain", tmp_path.name, 64)
    assert (record["network"], record["licence"]) == ("blur", "CC0-1.0")
    assert (record["data"], record["weights"]) == ({"summary": "unknown"}, ["best"])
    assert record["parameters"] == {"sigma": 1.5}


def test_an_imported_model_is_trained_on(server: Server, tmp_path: Path) -> None:
    (tmp_path / "threshold.json").write_text(json.dumps(PLAIN))
    parent = imported(server, tmp_path, "start")
    assert parent.state == Job.SUCCEEDED, parent.error
    request: TrainRequest = server.train_request("go-on", epochs=1)
    request.parent.name = parent.model
    server.networks.Train(request)
    assert server.wait("go-on").state == Job.SUCCEEDED


def damaged(folder: Path) -> Path:
    (folder / "threshold.json").write_text("{}")
    return folder


def unfinished(folder: Path) -> Path:
    record = {"network": "blur", "complete": False, "weights": ["best"]}
    (folder / "model.json").write_text(json.dumps(record))
    return folder


def without_weights(folder: Path) -> Path:
    record = {"network": "blur", "complete": True, "weights": ["best"]}
    (folder / "model.json").write_text(json.dumps(record))
    return folder


def of_another_network(folder: Path) -> Path:
    (folder / "model.json").write_text(json.dumps({"network": "other", "weights": ["best"]}))
    (folder / "weights_best.json").write_text("{}")
    return folder


def with_weights_elsewhere(folder: Path) -> Path:
    record = {"network": "blur", "complete": True, "weights": ["best/../../secret"]}
    (folder / "model.json").write_text(json.dumps(record))
    return folder


def with_a_strange_record(folder: Path) -> Path:
    record = {"network": "blur", "weights": ["best"], "parameters": {"sigma": 1 << 80}}
    (folder / "model.json").write_text(json.dumps(record))
    (folder / "weights_best.json").write_text(json.dumps(PLAIN))
    return folder


def with_broken_weights(folder: Path) -> Path:
    record = {"network": "blur", "weights": ["best"], "parameters": {}}
    (folder / "model.json").write_text(json.dumps(record))
    (folder / "weights_best.json").write_text("{")
    return folder


def unknown(folder: Path) -> Path:
    (folder / "weights.pth").write_text("x")
    return folder


def leading_out(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "m.zip", "w") as packed:
        packed.writestr("../threshold.json", json.dumps(PLAIN))
    return folder / "m.zip"


def a_bomb(folder: Path) -> Path:
    """Write 300 MiB of zeros, which the archive holds in 300 KiB."""
    with zipfile.ZipFile(folder / "m.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("threshold.json", bytes(300 << 20))
    return folder / "m.zip"


def no_archive(folder: Path) -> Path:
    (folder / "m.h5").write_text("x")
    return folder / "m.h5"


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (damaged, "threshold.json is damaged"),
        (unfinished, "has not been finished"),
        (without_weights, "'best' are missing"),
        (of_another_network, "was trained by other, not by blur"),
        (with_weights_elsewhere, "in its model.json, weights cannot be as they are"),
        (with_a_strange_record, "in its model.json, parameters"),
        (with_broken_weights, "cannot be loaded"),
        (unknown, "of no format that blur imports (dl4mic, plain)"),
        (leading_out, "leads out of its folder"),
        (a_bomb, "would grow to 300 MiB; from its size at most 256 are believed"),
        (no_archive, "no sound ZIP archive"),
    ],
)
def test_what_cannot_be_imported_is_refused_and_leaves_nothing(
    server: Server, tmp_path: Path, make: Callable[[Path], Path], said: str
) -> None:
    name = make.__name__.replace("_", "-")
    job = imported(server, make(tmp_path), name)
    assert (job.state, job.error.code) == (Job.FAILED, JobError.INVALID_INPUT)
    assert said in job.error.message and job.error.hint and not job.model
    with pytest.raises(grpc.RpcError):
        content(server, f"job:import-{name}/model/model.json")
    if server.kind == "orchestrator":
        with pytest.raises(grpc.RpcError):
            ModelServiceStub(server.channel).GetModel(GetModelRequest(model=name))
