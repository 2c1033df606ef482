# SPDX-License-Identifier: BSD-3-Clause
"""Turns a checked request into the plain values of `request.json`, which is all that a worker reads. Pure."""

from __future__ import annotations

from typing import Any, Dict, Optional

from dl4mic.check import (
    OWN_FORMAT,
    WITHOUT_TARGET,
    Request,
    verb_of,
    verb_word,
)
from dl4mic.manifest import Service
from dl4mic.parameters import complete_parameters
from dl4mic.v1.data_pb2 import Dataset, ModelReference
from dl4mic.v1.parameter_pb2 import ParameterValue
from dl4mic.v1.request_pb2 import (
    ExportModelRequest,
    ImportModelRequest,
    JobOptions,
    QcRequest,
    TrainRequest,
)


def request_record(
    request: Request, service: Service, *, job_id: str, attempt: int, previous: Optional[str]
) -> Dict[str, Any]:
    """Write a request down for a worker.

    Parameters
    ----------
    request
        Checked; every location and every `ModelReference.location` in it is an absolute path by now.
    service
        The service that holds the network.
    job_id, attempt
        Of the job.
    previous
        Folder of the attempt before, whose checkpoints and finished items are taken over.

    Returns
    -------
    dict
        JSON values; every parameter of the verb is there, None where the network chooses.
    """
    network = service.network(request.network)
    preset = request.preset if isinstance(request, TrainRequest) else ""
    parameters = complete_parameters(network, verb_of(request), preset, request.parameters)
    record: Dict[str, Any] = {
        "job_id": job_id,
        "attempt": attempt,
        "verb": verb_word(request),
        "network": network.name,
        "service_folder": str(service.folder),
        "title": request.options.title,
        "project": request.options.project or "default",
        "preset": preset or "default",
        "parameters": {name: plain_value(value) for name, value in parameters.items()},
        "given": sorted(request.parameters),
        "device": JobOptions.Device.Name(request.options.device or JobOptions.AUTO).lower(),
        "previous": previous,
        "manifest": dict(service.records[network.name]),
    }
    record.update(_of_verb(request, network.supervision))
    return record


def _of_verb(request: Request, supervision: Dataset.Supervision) -> Dict[str, Any]:
    if isinstance(request, ImportModelRequest):
        return {"source": request.source, "model_name": request.model, "format": request.format}
    if isinstance(request, ExportModelRequest):
        return {"models": [_model(request.model)], "format": request.format or OWN_FORMAT}
    data = _dataset(request.data, supervision)
    if isinstance(request, TrainRequest):
        return {
            "data": data,
            "dry_run": request.dry_run,
            "model_name": request.model,
            "parent": _model(request.parent) if request.HasField("parent") else None,
            "validation": _dataset(request.validation, supervision)
            if request.HasField("validation")
            else None,
        }
    if isinstance(request, QcRequest):
        return {
            "data": data,
            "models": [_model(each) for each in request.models],
            "prediction": request.prediction or None,
        }
    return {"data": data, "models": [_model(request.model)]}


def _dataset(data: Dataset, supervision: Dataset.Supervision) -> Dict[str, Any]:
    untargeted = not data.target and supervision not in WITHOUT_TARGET
    kind = data.supervision or (Dataset.IMAGES if untargeted else supervision)
    return {
        "supervision": Dataset.Supervision.Name(kind).lower(),
        "source": data.source,
        "target": data.target,
        "axes": data.axes,
        "class_names": list(data.class_names),
    }


def _model(model: ModelReference) -> Dict[str, Any]:
    return {"name": model.name, "folder": model.location, "weights": model.weights or "best"}


def plain_value(value: Optional[ParameterValue]) -> Any:
    """Turn a parameter's value into a bool, int, float, str, list of these, or None where there is none."""
    kind = value.WhichOneof("kind") if value is not None else None
    if value is None or kind is None:
        return None
    if kind == "list":
        return [plain_value(each) for each in value.list.values]
    return getattr(value, kind)
