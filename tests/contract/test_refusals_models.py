# SPDX-License-Identifier: BSD-3-Clause
"""Models and locations that are refused before work starts, on every server of the contract."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from refusals import (
    REFUSED,
    Refuse,
    Request,
    Spoil,
    Words,
    call,
    predict_with,
    qc_with,
    refusal_of,
    refusal_of_call,
    train_from,
    train_on,
    write_model,
)
from servers import Server, write_spots

from dl4mic.v1.data_pb2 import Dataset, GetDataRequest, ListDataRequest, ModelReference
from dl4mic.v1.data_pb2_grpc import DataServiceStub
from dl4mic.v1.job_pb2 import Job
from dl4mic.v1.network_pb2 import PredictImageRequest
from dl4mic.v1.request_pb2 import (
    ImportModelRequest,
    JobOptions,
    PredictRequest,
    QcRequest,
    TrainRequest,
)

DATA = Dataset(source="lab:train/images", target="lab:train/masks")


def train_with(data: Dataset, validation: Dataset | None = None) -> TrainRequest:
    return TrainRequest(network="blur", data=data, validation=validation, model=REFUSED)


@pytest.mark.parametrize(
    "request_",
    [
        TrainRequest(network="blurr", model="refused"),
        QcRequest(network="blurr"),
        PredictRequest(network="blurr"),
    ],
    ids=["train", "qc", "predict"],
)
def test_an_unknown_network(refuse: Refuse, request_: Request) -> None:
    refusal = refuse(request_)
    assert refusal.code == "NOT_FOUND"
    assert "no network 'blurr'" in refusal.said and "blur" in refusal.said.replace("blurr", "")


def test_the_model_that_the_others_are_made_of_can_be_used(server: Server, model: Path) -> None:
    assert server.wait(call(server, predict_with(model)).id).state == Job.SUCCEEDED


@pytest.mark.parametrize("request_of", [predict_with, qc_with, train_from])
def test_a_model_of_another_network(
    refuse: Refuse, tmp_path: Path, request_of: Callable[[object], Request]
) -> None:
    write_model(tmp_path, network="unet2d")
    refusal = refuse(request_of(tmp_path))
    assert refusal.code == "INVALID_INPUT"
    assert "trained by unet2d, not by blur" in refusal.said
    assert "choose a model of blur" in refusal.said


def test_several_models_of_which_one_is_of_another_network(
    refuse: Refuse, tmp_path: Path, model: Path
) -> None:
    write_model(tmp_path, network="unet2d")
    request = qc_with(model)
    request.models.add(name=str(tmp_path))
    refusal = refuse(request)
    assert refusal.code == "INVALID_INPUT"
    assert "trained by unet2d, not by blur" in refusal.said


def test_finished_predictions_that_do_not_fit_their_targets(refuse: Refuse, tmp_path: Path) -> None:
    write_spots(tmp_path, 3, seed=3)
    tifffile.imwrite(tmp_path / "images" / "spots1.tif", np.zeros((48, 47), np.uint8))
    request = QcRequest(network="blur", prediction=f"{tmp_path}/images")
    request.data.target = f"{tmp_path}/masks"
    refusal = refuse(request)
    assert (refusal.code, list(refusal.files)) == ("INVALID_INPUT", ["spots1.tif"])
    assert "is 48 x 47 (YX), but its target is 48 x 48 (YX)" in refusal.said


@pytest.mark.parametrize(
    ("spoil", "weights", "said"),
    [
        (lambda folder: (folder / "model.json").unlink(), "", ("no readable model.json",)),
        (
            lambda folder: (folder / "model.json").write_text('{"network": "bl'),
            "",
            ("no readable model.json", "that a training job made"),
        ),
        (lambda folder: write_model(folder, complete=False), "", ("has not been finished",)),
        (
            lambda folder: (folder / "weights_best.json").unlink(),
            "",
            ("weights 'best'", "are missing"),
        ),
        (lambda folder: None, "7", ("weights '7'", "It keeps best")),
    ],
    ids=["no record", "damaged", "unfinished", "weights gone", "epoch not kept"],
)
def test_a_model_that_cannot_be_used(
    refuse: Refuse, tmp_path: Path, spoil: Spoil, weights: str, said: Words
) -> None:
    write_model(tmp_path)
    spoil(tmp_path)
    refusal = refuse(predict_with(tmp_path, weights=weights))
    assert refusal.code == "INVALID_INPUT"
    refusal.assert_says(str(tmp_path), *said)


@pytest.mark.parametrize(
    ("request_", "field_"),
    [
        (predict_with("job:nobody"), "model.name"),
        (predict_with("nuclei"), "model.name"),
        (predict_with("nuclei:3"), "model.name"),
        (predict_with("lab:../model"), "model.name"),
        (qc_with("lab:../model"), "models[0].name"),
        (train_from("lab:../model"), "parent.name"),
        (predict_with("lab:model", "lab:train/../../outside"), "data.source"),
        (predict_with("lab:model", "uploads:../jobs"), "data.source"),
        (predict_with("lab:model", "job:nobody/../.."), "data.source"),
        (predict_with("lab:model", "lab:escape/images"), "data.source"),
        (predict_with("lab:escape"), "model.name"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_leads_nowhere_or_out_of_its_root(
    server: Server, refuse: Refuse, request_: Request, field_: str
) -> None:
    link = server.data / "escape"
    if not link.is_symlink():
        link.symlink_to(server.data.parent)
    (server.data / "model").mkdir(exist_ok=True)
    refuse(request_).assert_field(field_)


@pytest.mark.parametrize(
    ("request_", "field_"),
    [
        (predict_with("lab:model", "/etc"), "data.source"),
        (predict_with("/etc", "lab:test/images"), "model.name"),
        (train_from("/etc"), "parent.name"),
        (qc_with("/etc"), "models[0].name"),
        (train_on(Path("/etc")), "data.source"),
        (train_with(Dataset(source=DATA.source, target="/etc")), "data.target"),
        (train_with(DATA, Dataset(source="/etc", target=DATA.target)), "validation.source"),
        (train_with(DATA, Dataset(source=DATA.source, target="/etc")), "validation.target"),
        (QcRequest(network="blur", data=DATA, prediction="/etc"), "prediction"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_absolute_path_from_afar(
    server: Server, afar: Server, request_: Request, field_: str
) -> None:
    (server.data / "model").mkdir(exist_ok=True)
    refusal = refusal_of(afar, request_)
    refusal.assert_field(field_, "use ROOT:PATH or uploads:PATH")


def test_an_absolute_path_from_afar_in_calls_of_other_kinds(afar: Server) -> None:
    source = ImportModelRequest(network="blur", source="/etc", model=REFUSED)
    header = PredictImageRequest.Header(network="blur", model=ModelReference(name="/etc"))
    header.image.axes, header.image.dtype = "YX", "uint8"
    header.image.shape.extend([1, 1])
    networks, data = afar.networks, DataServiceStub(afar.channel)
    for call_, request, field_ in (
        (networks.ImportModel, source, "source"),
        (
            lambda request: list(networks.PredictImage(iter([request]))),
            PredictImageRequest(header=header),
            "header.model.name",
        ),
        (lambda request: list(data.GetData(request)), GetDataRequest(location="/etc"), "location"),
        (data.ListData, ListDataRequest(location="/etc"), "location"),
    ):
        refusal = refusal_of_call(call_, request)
        refusal.assert_field(field_, "use ROOT:PATH or uploads:PATH")


def test_the_same_id_with_another_request(server: Server, refuse: Refuse, model: Path) -> None:
    request = predict_with(model)
    request.options.CopyFrom(JobOptions(job_id="one-id"))
    first = call(server, request)
    assert call(server, request).create_time == first.create_time
    request.data.source = "lab:train/images"
    refusal = refuse(request)
    assert refusal.code == "ALREADY_EXISTS" and "one-id" in refusal.said
    server.wait("one-id")
