# SPDX-License-Identifier: BSD-3-Clause
"""References to models, by name, job or folder, and the network that each model is of."""

from __future__ import annotations

import json
import os
from pathlib import Path

from dl4mic.v1 import data_pb2, job_pb2, model_pb2
from dl4mic_client import transfer
from dl4mic_client.connection import Connection
from dl4mic_client.errors import Refused, Unsupported

JOB = "job:"


def model_reference(
    connection: Connection, model: str | os.PathLike[str], weights: str | int = ""
) -> data_pb2.ModelReference:
    """Return the contract's reference to a model; a folder on this machine is sent if it must be.

    Parameters
    ----------
    connection : Connection
        The server.
    model : str or path
        "NAME", "NAME:VERSION", "NAME:ALIAS", "job:ID", a location, or a model's folder here.
    weights : str or int
        "best", "last" or the number of a kept epoch.
    """
    name = str(model)
    if is_folder(model):
        name = transfer.locate(connection, model, "model")
    return data_pb2.ModelReference(name=name, weights=str(weights))


def is_folder(model: str | os.PathLike[str]) -> bool:
    """Whether a model is named by a folder on this machine."""
    if not isinstance(model, str):
        return True
    return not transfer.is_location(model) and (os.sep in model or model.startswith((".", "~")))


def network_of(connection: Connection, model: str | os.PathLike[str]) -> str:
    """Return the network that a model is of; empty where only the server can tell."""
    if is_folder(model):
        return _network_of_folder(transfer.existing(model, "model"))
    name = str(model)
    if name.startswith(JOB):
        job_id = name.removeprefix(JOB).partition("/")[0]
        request = job_pb2.GetJobRequest(job_id=job_id)
        return connection.call(connection.jobs.GetJob, request).network
    if "/" in name:
        return ""
    try:
        return connection.call(
            connection.models.GetModel, model_pb2.GetModelRequest(model=name)
        ).network
    except Unsupported:
        return ""


def _network_of_folder(folder: Path) -> str:
    record = folder / "model.json"
    try:
        return str(json.loads(record.read_text(encoding="utf-8"))["network"])
    except (OSError, ValueError, KeyError, TypeError):
        raise Refused(
            f"model: {folder} is not the folder of a model.",
            "The folder of a model holds a model.json that names its network.",
        ) from None
