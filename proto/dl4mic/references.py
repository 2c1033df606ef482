# SPDX-License-Identifier: BSD-3-Clause
"""Finds and fills in what a request refers to: locations, models, and the results of other jobs. Pure."""

from __future__ import annotations

from typing import Callable, Iterator, Tuple, TypeVar

from dl4mic.check import Request
from dl4mic.v1.data_pb2 import Dataset, ModelReference
from dl4mic.v1.job_pb2 import Job
from dl4mic.v1.request_pb2 import ImportModelRequest, PredictRequest, QcRequest, TrainRequest

JOB_PREFIX = "job:"

R = TypeVar("R", bound=Request)


def request_of(job: Job) -> Request:
    """Return what a job was asked."""
    request: Request = getattr(job, job.WhichOneof("request") or "train")
    return request


def makes_model(job: Job) -> bool:
    """Whether a job ends with a model, which others may name by ``job:ID``."""
    return job.HasField("import_model") or (job.HasField("train") and not job.train.dry_run)


def models(request: Request) -> Iterator[Tuple[str, ModelReference]]:
    """Yield field and reference of every model that a request names; they are the request's own, to be changed."""
    if isinstance(request, TrainRequest):
        if request.HasField("parent"):
            yield "parent", request.parent
    elif isinstance(request, QcRequest):
        for number, model in enumerate(request.models):
            yield "models[{}]".format(number), model
    elif not isinstance(request, ImportModelRequest):
        yield "model", request.model


def datasets(request: Request) -> Iterator[Tuple[str, Dataset]]:
    """Yield field and message of every dataset of a request."""
    if isinstance(request, (TrainRequest, QcRequest, PredictRequest)):
        yield "data", request.data
    if isinstance(request, TrainRequest) and request.HasField("validation"):
        yield "validation", request.validation


def folders(request: Request) -> Iterator[Tuple[str, str]]:
    """Yield name of the field and location of every folder that a request names besides datasets and models."""
    if isinstance(request, QcRequest) and request.prediction:
        yield "prediction", request.prediction
    elif isinstance(request, ImportModelRequest):
        yield "source", request.source


def needed_jobs(request: Request) -> Tuple[Tuple[str, str], ...]:
    """Return (field, job id) for every other job whose result a request names."""
    named = [("{}.name".format(field), model.name) for field, model in models(request)]
    for field, data in datasets(request):
        named += [
            ("{}.source".format(field), data.source),
            ("{}.target".format(field), data.target),
        ]
    named += folders(request)
    return tuple(
        (field, text[len(JOB_PREFIX) :].partition("/")[0])
        for field, text in named
        if text.startswith(JOB_PREFIX)
    )


def resolve(
    request: R,
    path_of: Callable[[str, str], str],
    model_of: Callable[[str, ModelReference], ModelReference],
) -> R:
    """Copy a request with all that it refers to found.

    Parameters
    ----------
    request
        Stays as it is.
    path_of
        (field, location) -> absolute path.
    model_of
        (field, reference) -> reference with an absolute `location`.
    """
    copy = type(request)()
    copy.MergeFrom(request)  # type: ignore[arg-type]  # a request of the same type
    for field, data in datasets(copy):
        if data.source:
            data.source = path_of("{}.source".format(field), data.source)
        if data.target:
            data.target = path_of("{}.target".format(field), data.target)
    for field, model in models(copy):
        model.CopyFrom(model_of(field, model))
    for field, location in folders(copy):
        setattr(copy, field, path_of(field, location))
    return copy
