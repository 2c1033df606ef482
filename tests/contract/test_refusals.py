# SPDX-License-Identifier: BSD-3-Clause
"""What is refused before work starts: with the field or the files at fault, and what would be right."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import numpy as np
import pytest
import tifffile
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from servers import COMMANDS, Server, value_of, write_spots

from dl4mic.v1.data_pb2 import Dataset, ModelReference
from dl4mic.v1.job_pb2 import Job, JobError
from dl4mic.v1.network_pb2 import DescribeRequest
from dl4mic.v1.request_pb2 import JobOptions, PredictRequest, QcRequest, TrainRequest

Request = TrainRequest | QcRequest | PredictRequest
Words = tuple[str, ...]
Spoil = Callable[[Path], object]

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
        Fields of the request that a status names.
    files
        Names of the files that the job's error names.
    """

    code: str
    said: str
    fields: frozenset[str] = frozenset()
    files: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Bad:
    """A data set that is not fit.

    Attributes
    ----------
    name
        Of the case.
    spoil
        Makes it so of a folder with ``images`` and ``masks`` of three good pairs.
    said
        Must all be part of message and hint.
    files
        Names of the files at fault.
    parameters
        Of the training.
    """

    name: str
    spoil: Spoil
    said: Words
    files: Words = ()
    parameters: dict[str, object] = field(default_factory=dict)


def all_images(make: Callable[[np.ndarray], np.ndarray], **options: object) -> Spoil:
    """Replace the pixels of every image."""
    return lambda folder: [
        tifffile.imwrite(path, make(tifffile.imread(path)), **options)
        for path in (folder / "images").iterdir()
    ]


def one(kind: str, make: Callable[[np.ndarray], np.ndarray]) -> Spoil:
    """Replace the pixels of one file."""

    def spoil(folder: Path) -> None:
        path = folder / kind / "spots1.tif"
        tifffile.imwrite(path, make(tifffile.imread(path)))

    return spoil


def emptied(folder: Path) -> None:
    for path in (folder / "images").iterdir():
        path.unlink()


def of_another_format(folder: Path) -> None:
    for path in (folder / "images").iterdir():
        path.rename(path.with_suffix(".czi"))


def truncated(folder: Path) -> None:
    path = folder / "images" / "spots1.tif"
    path.write_bytes(path.read_bytes()[:1000])


def renamed(folder: Path) -> None:
    for path in (folder / "masks").iterdir():
        path.rename(path.with_name(path.stem + "_mask.tif"))


def empty_masks(folder: Path) -> None:
    for path in (folder / "masks").iterdir():
        tifffile.imwrite(path, np.zeros((48, 48), np.uint16))


def cropped(folder: Path) -> None:
    for path in folder.glob("*/*.tif"):
        tifffile.imwrite(path, tifffile.imread(path)[:, :31])


def with_nan(pixels: np.ndarray) -> np.ndarray:
    pixels = pixels.astype(np.float32)
    pixels[5, 7] = np.nan
    return pixels


def rgb(pixels: np.ndarray) -> np.ndarray:
    return np.stack([pixels.astype(np.uint8)] * 3, axis=-1)


ALL = ("spots0.tif", "spots1.tif", "spots2.tif")
ONE = ("spots1.tif",)
BAD = [
    Bad("empty folder", emptied, ("images holds no image", ".tif, .tiff, .png or .npy")),
    Bad("another format", of_another_format, ("holds no image", ".czi", "save them as TIFF")),
    Bad(
        "missing target file",
        lambda folder: (folder / "masks" / "spots1.tif").unlink(),
        ("1 of 5 files", "same file name"),
        ONE,
    ),
    Bad(
        "unmatched names",
        renamed,
        ("6 of 6 files have no counterpart", "'_mask' in addition: rename them"),
        ALL + ("spots0_mask.tif", "spots1_mask.tif", "spots2_mask.tif"),
    ),
    Bad(
        "shapes that differ",
        one("masks", lambda pixels: pixels[:40]),
        ("is 40 x 48 (YX), but its image is 48 x 48 (YX)", "crop or resize"),
        ONE,
    ),
    Bad("truncated", truncated, ("1 of 6 files", "cannot be read", "is damaged"), ONE),
    Bad(
        "no image at all",
        lambda folder: (folder / "images" / "spots1.tif").write_text("tomorrow"),
        ("cannot be read", "not what its name says"),
        ONE,
    ),
    Bad(
        "float labels",
        one("masks", lambda pixels: pixels.astype(np.float32)),
        ("float32", "must be integers", "16-bit"),
        ONE,
    ),
    Bad(
        "negative labels",
        one("masks", lambda pixels: pixels.astype(np.int16) - 1),
        ("has a label -1", "Use 0 for background"),
        ONE,
    ),
    Bad("empty masks", empty_masks, ("all 3 masks are empty", "0 is background"), ALL),
    Bad("NaN", one("images", with_nan), ("1 pixels that are NaN", "Remove NaNs"), ONE),
    Bad(
        "smaller than a patch",
        cropped,
        ("48 x 31 (YX)", "patch of 32 x 32", "Lower patch_size"),
        ALL,
    ),
    Bad(
        "too few pixels for two regions",
        lambda folder: None,
        ("too small for a training and a validation region", "validation folder"),
        ALL,
        {"split": "region"},
    ),
    Bad(
        "RGB where one channel is needed",
        all_images(rgb, photometric="rgb"),
        ("is an RGB image", "takes one channel", "channel=0 to channel=2"),
        ALL,
    ),
    Bad(
        "a channel that is not there",
        all_images(rgb, photometric="rgb"),
        ("3 channels", "no channel 3", "counted from 0"),
        ALL,
        {"channel": 3},
    ),
    Bad(
        "too many axes",
        all_images(
            lambda pixels: np.stack([np.stack([pixels] * 2)] * 3),
            imagej=True,
            metadata={"axes": "TZYX"},
        ),
        ("3 x 2 x 48 x 48 (TZYX)", "takes YX or ZYX", "Save single planes"),
        ALL,
    ),
    Bad(
        "planes and a stack",
        one("images", lambda pixels: np.stack([pixels] * 2)),
        ("most images have YX", "images of one kind only"),
        ONE,
    ),
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of a model that can be used."""
    folder = tmp_path_factory.mktemp("model")
    write_model(folder)
    return folder


@pytest.fixture(scope="module")
def afar(server: Server, tmp_path_factory: pytest.TempPathFactory, spots: Path) -> Iterator[Server]:
    """A server of the same kind that is called by TCP."""
    folder = tmp_path_factory.mktemp("afar")
    command = COMMANDS[server.kind](folder, "127.0.0.1:0", spots)
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log)
    try:
        assert process.stdout is not None
        address = json.loads(process.stdout.readline())["address"]
        with grpc.insecure_channel(address) as channel:
            yield Server(server.kind, process, channel, spots)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def write_model(folder: Path, **changed: object) -> None:
    record = {"network": "blur", "complete": True, "weights": ["best"], "data": {}, **changed}
    (folder / "model.json").write_text(json.dumps(record))
    (folder / "weights_best.json").write_text(json.dumps({"threshold": 0.5, "sigma": 1.0}))


def refusal_of(server: Server, request: Request) -> Refusal:
    """Send what must be refused; when a job comes of it, see that no instance was asked for."""
    try:
        job_id = call(server, request).id
    except grpc.RpcError as error:
        return _of_status(error)
    job = server.wait(job_id)
    assert job.state == Job.FAILED, job
    seen = {each.state.state for each in server.events(job_id) if each.HasField("state")}
    assert server.kind == "service" or not seen & INSTANCE_STATES
    assert job.attempt == 1 and job.error.hint
    return Refusal(
        JobError.Code.Name(job.error.code),
        f"{job.error.message}\n{job.error.hint}",
        files=frozenset(Path(each.path).name for each in job.error.files),
    )


def call(server: Server, request: Request) -> Job:
    networks = server.networks
    calls = {TrainRequest: networks.Train, QcRequest: networks.Qc, PredictRequest: networks.Predict}
    return calls[type(request)](request)  # type: ignore[operator]


def _of_status(error: grpc.RpcError) -> Refusal:
    found = {}
    for detail in getattr(rpc_status.from_call(error), "details", []):
        bad = error_details_pb2.BadRequest()
        if detail.Unpack(bad):
            found.update({each.field: each.description for each in bad.field_violations})
    said = "\n".join([error.details(), *found.values()])
    return Refusal(error.code().name, said, frozenset(found))


def train_on(folder: Path, **parameters: object) -> TrainRequest:
    return TrainRequest(
        network="blur",
        data=Dataset(source=f"{folder}/images", target=f"{folder}/masks"),
        model="refused",
        parameters={name: value_of(value) for name, value in parameters.items()},
    )


def predict_with(model: object, data: str = "lab:test/images", weights: str = "") -> PredictRequest:
    reference = ModelReference(name=str(model), weights=weights)
    return PredictRequest(network="blur", model=reference, data=Dataset(source=data))


def qc_with(model: object) -> QcRequest:
    data = Dataset(source="lab:test/images", target="lab:test/masks")
    return QcRequest(network="blur", models=[ModelReference(name=str(model))], data=data)


def train_from(model: object) -> TrainRequest:
    data = Dataset(source="lab:train/images", target="lab:train/masks")
    parent = ModelReference(name=str(model))
    return TrainRequest(network="blur", data=data, model="refused", parent=parent)


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.name)
def test_data_that_is_not_fit(server: Server, tmp_path: Path, bad: Bad) -> None:
    write_spots(tmp_path, 3, seed=3)
    bad.spoil(tmp_path)
    refusal = refusal_of(server, train_on(tmp_path, **bad.parameters))
    assert refusal.code == "INVALID_INPUT"
    assert [each for each in bad.said if each not in refusal.said] == [], refusal.said
    assert refusal.files == set(bad.files)
    assert server.networks.Describe(DescribeRequest(network="blur")).name == "blur"


@pytest.mark.parametrize("part", ["source", "target"])
def test_a_folder_that_is_not_there(server: Server, tmp_path: Path, part: str) -> None:
    write_spots(tmp_path, 3, seed=3)
    request = train_on(tmp_path)
    setattr(request.data, part, f"{tmp_path}/nowhere")
    refusal = refusal_of(server, request)
    assert (refusal.code, refusal.fields) == ("INVALID_ARGUMENT", {f"data.{part}"})
    assert f"{tmp_path}/nowhere" in refusal.said


def test_a_target_that_is_not_given(server: Server) -> None:
    refusal = refusal_of(
        server,
        TrainRequest(network="blur", model="refused", data=Dataset(source="lab:train/images")),
    )
    assert (refusal.code, refusal.fields) == ("INVALID_ARGUMENT", {"data.target"})


def test_a_folder_of_which_nothing_can_be_predicted(
    server: Server, tmp_path: Path, model: Path
) -> None:
    write_spots(tmp_path, 3, seed=3)
    all_images(rgb, photometric="rgb")(tmp_path)
    refusal = refusal_of(server, predict_with(model, f"{tmp_path}/images"))
    assert (refusal.code, refusal.files) == ("INVALID_INPUT", set(ALL))
    assert "channel=0 to channel=2" in refusal.said


@pytest.mark.parametrize(
    "request_",
    [
        TrainRequest(network="blurr", model="refused"),
        QcRequest(network="blurr"),
        PredictRequest(network="blurr"),
    ],
    ids=["train", "qc", "predict"],
)
def test_an_unknown_network(server: Server, request_: Request) -> None:
    refusal = refusal_of(server, request_)
    assert refusal.code == "NOT_FOUND"
    assert "no network 'blurr'" in refusal.said and "blur" in refusal.said.replace("blurr", "")


def test_the_model_that_the_others_are_made_of_can_be_used(server: Server, model: Path) -> None:
    assert server.wait(call(server, predict_with(model)).id).state == Job.SUCCEEDED


@pytest.mark.parametrize("request_of", [predict_with, qc_with, train_from])
def test_a_model_of_another_network(
    server: Server, tmp_path: Path, request_of: Callable[[object], Request]
) -> None:
    write_model(tmp_path, network="unet2d")
    refusal = refusal_of(server, request_of(tmp_path))
    assert refusal.code == "INVALID_INPUT"
    assert "trained by unet2d, not by blur" in refusal.said
    assert "choose a model of blur" in refusal.said


def test_anything_but_one_model_to_score(server: Server, model: Path) -> None:
    """To compare several, or to score two folders, is not offered; half an answer would be worse."""
    several, folders = qc_with(model), qc_with(model)
    several.models.add(name=str(model))
    del folders.models[:]
    folders.prediction = "lab:test/masks"
    for request, named in ((several, "names 2"), (folders, "names none")):
        refusal = refusal_of(server, request)
        assert refusal.code == "INVALID_INPUT"
        assert named in refusal.said and "a request for each model" in refusal.said


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
    server: Server, tmp_path: Path, spoil: Spoil, weights: str, said: Words
) -> None:
    write_model(tmp_path)
    spoil(tmp_path)
    refusal = refusal_of(server, predict_with(tmp_path, weights=weights))
    assert refusal.code == "INVALID_INPUT"
    assert [each for each in (str(tmp_path), *said) if each not in refusal.said] == [], refusal.said


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
    server: Server, request_: Request, field_: str
) -> None:
    link = server.data / "escape"
    if not link.is_symlink():
        link.symlink_to(server.data.parent)
    (server.data / "model").mkdir(exist_ok=True)
    refusal = refusal_of(server, request_)
    assert (refusal.code, field_ in refusal.fields) == ("INVALID_ARGUMENT", True), refusal
    assert "Traceback" not in refusal.said


@pytest.mark.parametrize(
    ("request_", "field_"),
    [
        (predict_with("lab:model", "/etc"), "data.source"),
        (predict_with("/etc", "lab:test/images"), "model.name"),
        (train_from("/etc"), "parent.name"),
        (qc_with("/etc"), "models[0].name"),
        (train_on(Path("/etc")), "data.source"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_absolute_path_from_afar(
    server: Server, afar: Server, request_: Request, field_: str
) -> None:
    (server.data / "model").mkdir(exist_ok=True)
    refusal = refusal_of(afar, request_)
    assert (refusal.code, field_ in refusal.fields) == ("INVALID_ARGUMENT", True), refusal
    assert "use ROOT:PATH or uploads:PATH" in refusal.said


def test_the_same_id_with_another_request(server: Server, tmp_path: Path, model: Path) -> None:
    request = predict_with(model)
    request.options.CopyFrom(JobOptions(job_id="one-id"))
    first = call(server, request)
    assert call(server, request).create_time == first.create_time
    request.data.source = "lab:train/images"
    refusal = refusal_of(server, request)
    assert refusal.code == "ALREADY_EXISTS" and "one-id" in refusal.said
    server.wait("one-id")
