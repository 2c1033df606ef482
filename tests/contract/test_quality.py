# SPDX-License-Identifier: BSD-3-Clause
"""Quality control at every server of the contract: models ranked, all weights, and finished predictions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tifffile
from servers import Server, write_spots

from dl4mic.v1.data_pb2 import Dataset, GetDataRequest, ModelReference
from dl4mic.v1.data_pb2_grpc import DataServiceStub
from dl4mic.v1.job_pb2 import Job
from dl4mic.v1.request_pb2 import JobOptions, QcRequest

F1 = "instance.f1@0.5/1"


@pytest.fixture(scope="module")
def sound(server: Server) -> str:
    server.train("sound", epochs=6, keep_every=2, keep_limit=3)
    assert server.wait("sound").state == Job.SUCCEEDED
    return "job:sound"


@pytest.fixture(scope="module")
def wrong(server: Server, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model of another modality: it learned from dark objects on bright ground."""
    folder = tmp_path_factory.mktemp("wrong")
    write_spots(folder, 6, seed=5)
    for path in (folder / "images").iterdir():
        tifffile.imwrite(path, 1000 - tifffile.imread(path))
    request = server.train_request("wrong", epochs=6)
    request.data.CopyFrom(Dataset(source=f"{folder}/images", target=f"{folder}/masks"))
    request.model = "wrong"
    server.networks.Train(request)
    assert server.wait("wrong").state == Job.SUCCEEDED
    return "job:wrong"


def scored(server: Server, job_id: str, *models: ModelReference, **more: str) -> Any:
    data = Dataset(target=f"{server.data}/test/masks", source=more.pop("source", ""))
    options = JobOptions(job_id=job_id)
    server.networks.Qc(QcRequest(network="blur", options=options, models=models, data=data, **more))
    job = server.wait(job_id)
    assert job.state == Job.SUCCEEDED, job
    return json.loads(content(server, f"job:{job_id}/qc.json"))


def content(server: Server, location: str) -> bytes:
    parts = DataServiceStub(server.channel).GetData(GetDataRequest(location=location))
    return b"".join(each.chunk for each in parts)


def test_a_model_of_another_modality_ranks_last(server: Server, sound: str, wrong: str) -> None:
    models = [ModelReference(name=each) for each in (wrong, sound)]
    found = scored(server, "ranked", *models, source=f"{server.data}/test/images")
    first, last = found["models"]
    assert (first["rank"], last["rank"]) == (1, 2)
    assert first["ranking_score"] > 0.9 > 0.5 > last["ranking_score"]
    assert found["best_model"]["name"] == first["name"] != last["name"]
    assert last["against_best"]["images"] == 5
    assert "too few images" in last["against_best"]["verdict"]
    rows = content(server, "job:ranked/qc.csv").decode().splitlines()
    assert len(rows) == 1 + 2 * 5
    assert content(server, "job:ranked/report.pdf").startswith(b"%PDF")


def test_every_kept_set_of_weights_is_scored(server: Server, sound: str) -> None:
    model = ModelReference(name=sound, weights="all")
    found = scored(server, "every", model, source=f"{server.data}/test/images")
    assert {each["weights"] for each in found["models"]} == {"best", "last", "2", "4", "6"}
    assert found["best_model"]["weights"] == found["models"][0]["weights"]
    scores = [each["ranking_score"] for each in found["models"]]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("part", ["", "images"])
def test_finished_predictions_are_scored_without_a_model(server: Server, part: str) -> None:
    """The truth itself is a perfect prediction of it; a copy, since a folder is not compared with itself."""
    copy = server.data / f"copy{part}"
    copy.mkdir(exist_ok=True)
    for path in Path(server.data, "test", "masks").iterdir():
        tifffile.imwrite(copy / path.name, tifffile.imread(path))
    source = f"{server.data}/test/{part}" if part else ""
    job_id = f"finished{part}-{server.kind}"
    found = scored(server, job_id, prediction=str(copy), source=source)
    assert found["pooled"][F1] == 1.0
    assert found["models"][0]["name"] == "predictions"
    assert content(server, f"job:{job_id}/report.pdf").startswith(b"%PDF")
