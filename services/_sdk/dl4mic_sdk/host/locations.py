# SPDX-License-Identifier: BSD-3-Clause
"""Turns the locations of a request into paths, and lets none of them leave its root."""

from __future__ import annotations

from pathlib import Path
from typing import Callable, Iterator, Mapping, Tuple, TypeVar

from dl4mic.check import Refused, Request, Violation
from dl4mic.v1.data_pb2 import ModelReference
from dl4mic.v1.request_pb2 import QcRequest, TrainRequest

JOB = "job"

AnyRequest = TypeVar("AnyRequest", bound=Request)


class Locations:
    """The data roots of a server and the artifacts of its jobs.

    Parameters
    ----------
    roots
        Name -> folder.
    job_artifacts
        Returns the folder of what a job published, whether it is there yet or not; raises KeyError for an unknown job.
    """

    def __init__(self, roots: Mapping[str, Path], job_artifacts: Callable[[str], Path]) -> None:
        self._roots = {name: folder.resolve() for name, folder in roots.items()}
        self._job_artifacts = job_artifacts

    def resolve(self, location: str, field: str, local: bool) -> Path:
        """Find the path of a location.

        Parameters
        ----------
        location
            As the contract writes it.
        field
            Of the request, for the error.
        local
            The caller came by the Unix socket, and may name absolute paths.

        Raises
        ------
        dl4mic.check.Refused
            Unknown root or job, a path that leaves its root, or an absolute path from afar.
        """
        if location.startswith("/"):
            return self._absolute(location, field, local)
        root, _, inside = location.partition(":")
        if root == JOB:
            job_id, _, inside = inside.partition("/")
            return _confine(self._artifacts(job_id, field), inside, location, field)
        if root not in self._roots:
            known = ", ".join(sorted(self._roots)) or "none"
            raise _refuse(
                field,
                "{!r}: there is no data root {!r}; there are: {}".format(location, root, known),
            )
        return _confine(self._roots[root], inside, location, field)

    def _absolute(self, location: str, field: str, local: bool) -> Path:
        if not local:
            raise _refuse(
                field,
                "{!r}: only ROOT:PATH and uploads:PATH may come over the network".format(location),
            )
        return Path(location).resolve()

    def _artifacts(self, job_id: str, field: str) -> Path:
        try:
            return self._job_artifacts(job_id)
        except KeyError:
            raise _refuse(field, "there is no job {!r}".format(job_id)) from None


def _confine(root: Path, inside: str, location: str, field: str) -> Path:
    path = (root / inside.lstrip("/")).resolve()
    if path != root.resolve() and root.resolve() not in path.parents:
        raise _refuse(field, "{!r} leaves its root".format(location))
    return path


def _refuse(field: str, description: str) -> Refused:
    return Refused([Violation(field, description)])


def resolved(request: AnyRequest, locations: Locations, local: bool) -> AnyRequest:
    """Copy a request with every location in it as an absolute path."""
    copy = type(request)()
    copy.MergeFrom(request)  # type: ignore[arg-type]  # a request of the same type
    datasets = [("data", copy.data)]
    if isinstance(copy, TrainRequest) and copy.HasField("validation"):
        datasets.append(("validation", copy.validation))
    for field, data in datasets:
        for role in ("source", "target"):
            if getattr(data, role):
                setattr(
                    data,
                    role,
                    str(locations.resolve(getattr(data, role), "{}.{}".format(field, role), local)),
                )
    for field, model in models_of(copy):
        model.location = str(_model_folder(model, field, locations, local))
    if isinstance(copy, QcRequest) and copy.prediction:
        copy.prediction = str(locations.resolve(copy.prediction, "prediction", local))
    return copy


def _model_folder(model: ModelReference, field: str, locations: Locations, local: bool) -> Path:
    """Find the folder of what a job trained, or of a location."""
    if model.location:
        return locations.resolve(model.location, field + ".location", local)
    if model.name.startswith("job:") and "/" not in model.name:
        return locations.resolve(model.name + "/model", field + ".name", local)
    if ":" not in model.name and not model.name.startswith("/"):
        words = "{!r}: a service by itself keeps no named models; use job:ID of the training, or ROOT:PATH"
        raise _refuse(field + ".name", words.format(model.name))
    return locations.resolve(model.name, field + ".name", local)


def models_of(request: Request) -> Iterator[Tuple[str, ModelReference]]:
    """Yield the field and reference of every model that a request names."""
    if isinstance(request, TrainRequest):
        if request.HasField("parent"):
            yield "parent", request.parent
    elif isinstance(request, QcRequest):
        for number, model in enumerate(request.models):
            yield "models[{}]".format(number), model
    else:
        yield "model", request.model


def jobs_needed(request: Request) -> Iterator[str]:
    """Yield the ids of the jobs whose results a request names."""
    names = [request.data.source, request.data.target] + [
        model.name for _, model in models_of(request)
    ]
    if isinstance(request, QcRequest):
        names.append(request.prediction)
    if isinstance(request, TrainRequest):
        names += [request.validation.source, request.validation.target]
    for name in names:
        if name.startswith("job:"):
            yield name[len("job:") :].partition("/")[0]
