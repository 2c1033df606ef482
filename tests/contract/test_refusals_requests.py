# SPDX-License-Identifier: BSD-3-Clause
"""Requests that are refused when they are made: names, options, parameters and calls of every kind."""

from __future__ import annotations

from collections.abc import Callable

import grpc
import pytest
from refusals import (
    REFUSED,
    Refuse,
    assert_unharmed,
    predict_with,
    qc_with,
    refusal_of_call,
)
from servers import Server, value_of

from dl4mic.v1.data_pb2 import Dataset, DeleteDataRequest, GetDataRequest, PutDataRequest
from dl4mic.v1.data_pb2_grpc import DataServiceStub
from dl4mic.v1.job_pb2 import (
    CancelJobRequest,
    DeleteJobRequest,
    GetJobRequest,
    Job,
    ListJobsRequest,
    ReadLogRequest,
    RetryJobRequest,
    WatchJobRequest,
)
from dl4mic.v1.model_pb2 import SetModelAliasRequest
from dl4mic.v1.model_pb2_grpc import ModelServiceStub
from dl4mic.v1.parameter_pb2 import ParameterValue
from dl4mic.v1.request_pb2 import JobOptions, TrainRequest

NO_NAMES = [
    "a/b",
    "../a",
    "A",
    "Nuclei",
    "a" * 51,
    "a" * 300,
    "核",
    "ядро",
    "é",
    "a b",
    "a_b",
    "-a",
    "a-",
    "a\n",
    "\x1b[2J",
    "a\u200bb",
    "１",
]
NAME_FORM = "use lower-case letters, digits and inner hyphens"
LONG = "x" * 1_000_000


def train(**changes: object) -> TrainRequest:
    data = Dataset(source="lab:train/images", target="lab:train/masks")
    return TrainRequest(**{"network": "blur", "data": data, "model": REFUSED, **changes})


def with_options(**options: object) -> TrainRequest:
    return train(options=JobOptions(**options))


def with_deadline(seconds: int) -> TrainRequest:
    request = train()
    request.options.deadline.seconds = seconds
    return request


def with_parameters(**parameters: object) -> TrainRequest:
    return train(parameters={name: value_of(value) for name, value in parameters.items()})


@pytest.mark.parametrize("name", NO_NAMES)
@pytest.mark.parametrize(
    ("request_of", "field"),
    [
        (lambda name: with_options(job_id=name), "options.job_id"),
        (lambda name: with_options(project=name), "options.project"),
        (lambda name: with_options(labels={name: "a"}), "options.labels"),
        (lambda name: with_options(labels={"a": name}), "options.labels[a]"),
        (lambda name: train(model=name), "model"),
    ],
    ids=["job", "project", "label", "value of a label", "model"],
)
def test_what_is_no_name(
    refuse: Refuse, request_of: Callable[[str], TrainRequest], field: str, name: str
) -> None:
    refuse(request_of(name)).assert_field(field, NAME_FORM)


@pytest.mark.parametrize("name", [*NO_NAMES, "7"])
def test_what_is_no_alias(server: Server, name: str) -> None:
    request = SetModelAliasRequest(model="spots:1", alias=name)
    refusal = refusal_of_call(ModelServiceStub(server.channel).SetModelAlias, request)
    if server.kind == "service":
        assert refusal.code == "UNIMPLEMENTED"
    else:
        refusal.assert_field("alias")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("uploads:../a.tif", "leaves its root"),
        ("uploads:a/../../b.tif", "leaves its root"),
        ("uploads:", "below uploads:"),
        ("uploads:" + "a" * 300, "too long"),
        ("uploads:" + "核" * 100, "too long"),
        ("uploads:" + "a/" * 3000, "too long"),
        ("uploads:a\nb.tif", "control characters"),
        ("uploads:a\0b.tif", "control characters"),
        ("uploads:\x1b[2J.tif", "control characters"),
        ("lab:a.tif", "only uploads:PATH"),
        ("/tmp/a.tif", "only uploads:PATH"),
        ("", "only uploads:PATH"),
    ],
)
def test_where_nothing_is_written_or_deleted(server: Server, name: str, words: str) -> None:
    data = DataServiceStub(server.channel)
    header = PutDataRequest.Header(location=name, size=1, sha256="0" * 64)
    put = refusal_of_call(data.PutData, iter([PutDataRequest(header=header)]))
    put.assert_field("header.location", words)
    refusal_of_call(data.DeleteData, DeleteDataRequest(location=name)).assert_field(
        "location", words
    )


@pytest.mark.parametrize(
    ("request_", "field", "words"),
    [
        (with_options(title="a\nb"), "options.title", "control characters"),
        (with_options(title="\x1b[31mred"), "options.title", "control characters"),
        (with_options(title="a" * 201), "options.title", "at most 200"),
        (with_options(title=LONG), "options.title", "1000000 characters"),
        (with_options(job_id=LONG), "options.job_id", NAME_FORM),
        (with_options(labels={LONG: LONG}), "options.labels", NAME_FORM),
        (with_options(labels={"": "a"}), "options.labels", NAME_FORM),
        (with_options(labels={"a": ""}), "options.labels[a]", NAME_FORM),
        (
            with_options(labels={f"l{number}": "a" for number in range(5000)}),
            "options.labels",
            "5000 labels; at most 32",
        ),
        (with_options(priority=-1001), "options.priority", "from -1000 to 1000"),
        (with_options(device=99), "options.device", "99 is unknown here; use AUTO, CPU, GPU"),
        (with_options(device=JobOptions.GPU), "options.device", "computes on the CPU only"),
        (with_deadline(-1), "options.deadline", "in the future"),
        (with_deadline(0), "options.deadline", "in the future"),
        (with_deadline(1 << 60), "options.deadline", "at most 3650 days"),
        (train(model="uploads"), "model", "reserved"),
        (train(preset="fast\n"), "preset", "there are default, quick"),
        (train(preset=LONG), "preset", "there are default, quick"),
        (
            train(data=Dataset(source=f"lab:{LONG}", target="lab:train/masks")),
            "data.source",
            "too long",
        ),
        (
            train(data=Dataset(source="lab:核/" + "核" * 200, target="lab:train/masks")),
            "data.source",
            "too long",
        ),
        (
            train(data=Dataset(source="lab:a", target="lab:b", axes="YXX")),
            "data.axes",
            "once at most",
        ),
        (train(data=Dataset(source="lab:a", target="lab:b", axes=LONG)), "data.axes", "once at"),
        (
            train(data=Dataset(source="lab:a", target="lab:b", supervision=99)),
            "data.supervision",
            "99 is unknown here; use IMAGES",
        ),
        (
            train(data=Dataset(source="lab:a", target="lab:b", supervision=Dataset.BOXES)),
            "data.supervision",
            "learns from label images, not from boxes",
        ),
        (predict_with("lab:model", weights="worst"), "model.weights", "best, last or the number"),
        (predict_with("lab:model", weights="-1"), "model.weights", "best, last or the number"),
        (predict_with("Nuclei"), "model.name", "not a location"),
        (predict_with(LONG), "model.name", ""),
        (qc_with(""), "models[0].name", "is empty"),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 30 else "",
)
def test_a_field_that_is_not_fit(refuse: Refuse, request_: object, field: str, words: str) -> None:
    refuse(request_).assert_field(field, words)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("request_", "name", "words"),
    [
        (with_parameters(epochs="10"), "epochs", "10 is not allowed: expected an integer"),
        (with_parameters(epochs=True), "epochs", "true is not allowed: expected an integer"),
        (with_parameters(epochs=[1]), "epochs", "[1] is not allowed: expected an integer"),
        (with_parameters(epochs=-1), "epochs", "from 1 to 10000"),
        (with_parameters(epochs=1 << 62), "epochs", "from 1 to 10000"),
        (train(parameters={"epochs": ParameterValue()}), "epochs", "nothing is not allowed"),
        (with_parameters(learning_rate=float("nan")), "learning_rate", "nan is not allowed"),
        (with_parameters(learning_rate=float("inf")), "learning_rate", "inf is not allowed"),
        (with_parameters(patch_size=32), "patch_size", "a list of 2, each an integer"),
        (with_parameters(patch_size=[32]), "patch_size", "has 1 values; expected a list of 2"),
        (with_parameters(patch_size=[32, 32.0]), "patch_size", "expected a list of 2"),
        (with_parameters(patch_size=[32, -32]), "patch_size", "-32 is not allowed"),
        (with_parameters(patch_size=[[32], [32]]), "patch_size", "expected a list of 2"),
        (with_parameters(patch_size=[32] * 100_000), "patch_size", "expected a list of 2"),
        (with_parameters(split=LONG), "split", "one of image, group, region"),
        (with_parameters(best_by="dice"), "best_by", "one of val_loss, loss"),
        (train(parameters={LONG: value_of(1)}), "", "is no parameter of blur"),
        (train(parameters={"": value_of(1)}), "", "is no parameter of blur"),
        (
            with_parameters(keep_limit=3),
            "keep_limit",
            "while keep_every is 0: switch keep_every on",
        ),
        (
            with_parameters(split="image", split_strip=8),
            "split_strip",
            "while split is image: use split=region",
        ),
        (
            train(
                validation=Dataset(source="lab:test/images", target="lab:test/masks"),
                parameters={"split": value_of("image")},
            ),
            "split",
            "beside validation, whose images are used",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 60 else "",
)
def test_a_parameter_that_is_not_fit(
    refuse: Refuse, request_: TrainRequest, name: str, words: str
) -> None:
    refusal = refuse(request_)
    assert refusal.code == "INVALID_ARGUMENT"
    assert any(each.startswith(f"parameters.{name}") for each in refusal.fields)
    refusal.assert_says(words)


def test_of_thousands_of_faults_some_are_told_and_the_status_arrives(refuse: Refuse) -> None:
    for letter in ("p", "核"):
        names = (f"{letter}{number}" for number in range(2000))
        refusal = refuse(train(parameters={name: value_of(1) for name in names}))
        assert refusal.code == "INVALID_ARGUMENT"
        assert 5 <= len(refusal.fields) <= 100
        refusal.assert_says("is no parameter of blur")


def test_a_message_larger_than_a_server_takes(server: Server) -> None:
    request = with_options(title="x" * (5 << 20))
    refusal = refusal_of_call(server.networks.Train, request)
    assert refusal.code == "RESOURCE_EXHAUSTED"
    assert_unharmed(server, [])


IDS = ["nobody", "", "../x", "A/b", "核", "a" * 100_000, "x\n", "\x1b"]


@pytest.mark.parametrize("job_id", IDS, ids=lambda value: repr(value[:10]))
def test_a_job_that_is_not_there(server: Server, job_id: str) -> None:
    jobs = server.jobs
    calls = [
        (jobs.GetJob, GetJobRequest),
        (jobs.CancelJob, CancelJobRequest),
        (jobs.RetryJob, RetryJobRequest),
        (jobs.DeleteJob, DeleteJobRequest),
        (jobs.ReadLog, ReadLogRequest),
        (lambda request: list(jobs.WatchJob(request)), WatchJobRequest),
    ]
    for method, request in calls:
        refusal = refusal_of_call(method, request(job_id=job_id))
        assert refusal.code == "NOT_FOUND", refusal
        assert "unexpected error" not in refusal.said


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (ListJobsRequest(page_size=-1), "page_size"),
        (ListJobsRequest(page_size=1001), "page_size"),
        (ListJobsRequest(page_token="nobody"), "page_token"),
        (ListJobsRequest(page_token="²"), "page_token"),
        (ListJobsRequest(page_token="-1"), "page_token"),
        (ListJobsRequest(page_token="9" * 40), "page_token"),
    ],
    ids=str,
)
def test_a_page_that_is_none(server: Server, request_: ListJobsRequest, field: str) -> None:
    refusal_of_call(server.jobs.ListJobs, request_).assert_field(field)


def test_a_log_that_is_none(server: Server) -> None:
    job = server.train("refusals-log", epochs=1)
    assert server.wait(job.id).state == Job.SUCCEEDED
    for request, field in (
        (ReadLogRequest(job_id=job.id, offset=-1), "offset"),
        (ReadLogRequest(job_id=job.id, attempt=-1), "attempt"),
        (ReadLogRequest(job_id=job.id, attempt=9), "attempt"),
    ):
        refusal_of_call(server.jobs.ReadLog, request).assert_field(field)
    beyond = server.jobs.ReadLog(ReadLogRequest(job_id=job.id, offset=1 << 60))
    assert (beyond.text, beyond.complete) == ("", True)
    after = WatchJobRequest(job_id=job.id, after_sequence=-5)
    assert next(each.sequence for each in server.jobs.WatchJob(after)) == 1


def test_a_file_that_is_none(server: Server) -> None:
    def get(request: GetDataRequest) -> list[object]:
        return list(DataServiceStub(server.channel).GetData(request))

    refusal_of_call(get, GetDataRequest(location="lab:../x")).assert_field("location")
    folder = refusal_of_call(get, GetDataRequest(location="lab:train"))
    assert folder.code == "NOT_FOUND"
    image = GetDataRequest(location="lab:train/images/spots0.tif", offset=-1)
    refusal_of_call(get, image).assert_field("offset")
    device = refusal_of_call(get, GetDataRequest(location="/dev/zero"))
    assert device.code == "NOT_FOUND"


def test_no_call_has_left_anything(server: Server) -> None:
    assert_unharmed(server, [])
    with pytest.raises(grpc.RpcError) as caught:
        server.channel.unary_unary("/dl4mic.v1.NetworkService/Nothing")(b"")
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED  # type: ignore[attr-defined]
