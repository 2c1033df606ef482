# SPDX-License-Identifier: BSD-3-Clause
"""What a network is asked to do: plain values, made by the worker."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Mapping, Optional, Sequence

from dl4mic_sdk.errors import ModelError

if TYPE_CHECKING:
    from dl4mic_sdk.data_summary import DataSummary
    from dl4mic_sdk.pairs import Item

MODEL_RECORD = "model.json"


@dataclass(frozen=True)
class ModelFolder:
    """A trained model: a folder of weights with its `model.json`.

    Attributes
    ----------
    name
        As the job's request named it, e.g. ``"nuclei:3"``.
    path
        The folder; read-only.
    weights
        ``"best"``, ``"last"``, or the number of a kept epoch.
    record
        Content of `model.json`.
    """

    name: str
    path: Path
    weights: str
    record: Mapping[str, Any]

    @classmethod
    def open(cls, name: str, path: Path, weights: str, network: str) -> ModelFolder:
        """Read the record of a model folder.

        Raises
        ------
        ModelError
            No readable `model.json`, or a model of another network than `network`.
        """
        record = _read_record(name, path)
        trained = record.get("network")
        if trained != network:
            raise ModelError(
                "model {} was trained by {}, not by {}".format(name, trained, network),
                "Use it with {}, or choose a model of {}.".format(trained, network),
            )
        return cls(name, path, weights or "best", record)


def _read_record(name: str, path: Path) -> Mapping[str, Any]:
    try:
        record = json.loads((path / MODEL_RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(
            "model {}: {} has no readable {} ({})".format(name, path, MODEL_RECORD, error),
            "Choose a model that a training job made.",
        ) from error
    if not isinstance(record, dict):
        raise ModelError(
            "model {}: {} is not a record".format(name, path / MODEL_RECORD),
            "Choose a model that a training job made.",
        )
    return record


@dataclass(frozen=True)
class TrainTask:
    """Train a model.

    Attributes
    ----------
    network
        Name of the network in the manifest.
    parameters
        Every parameter of the verb; None means that the network chooses.
    train, validation
        The images to learn from and those to validate on; opened by the network when it needs them.
    model
        Existing folder to put the weights into; the SDK adds `model.json`.
    parent
        Model to start from, or None.
    seed
        Of everything random.
    data
        What the data check found.
    split
        How `validation` was chosen, in plain values for the report.
    """

    network: str
    parameters: Mapping[str, Any]
    train: Sequence[Item]
    validation: Sequence[Item]
    model: Path
    parent: Optional[ModelFolder]
    seed: int
    data: DataSummary
    split: Mapping[str, Any]


@dataclass(frozen=True)
class PredictTask:
    """Apply a model to images.

    Attributes
    ----------
    network, parameters
        As of `TrainTask`.
    items
        The images.
    model
        The model to apply; the network's `load` was called with it.
    output
        Existing folder for the results.
    previous
        The same folder of the attempt before, whose finished results are taken over, or None.
    """

    network: str
    parameters: Mapping[str, Any]
    items: Sequence[Item]
    model: ModelFolder
    output: Path
    previous: Optional[Path] = None


@dataclass(frozen=True)
class QcTask:
    """Score models on images whose targets are known.

    Attributes
    ----------
    network, parameters
        As of `TrainTask`.
    items
        Test images with their targets.
    models
        The models to score; none where finished predictions are: `items` are these, with their targets.
    output
        Existing folder for scores, maps, panels, report and predictions.
    task_kind
        The manifest's task, which chooses the metrics: "instance segmentation".
    data
        What the data check found in the test images.
    manifest
        The network's manifest in plain values: title, citations, licence.
    previous
        As of `PredictTask`, of the predictions.
    sources
        Name -> the image that a finished prediction was made of, for the pictures; empty where there are none.
    """

    network: str
    parameters: Mapping[str, Any]
    items: Sequence[Item]
    models: Sequence[ModelFolder]
    output: Path
    task_kind: str
    data: DataSummary
    manifest: Mapping[str, Any]
    previous: Optional[Path] = None
    sources: Mapping[str, Item] = field(default_factory=dict)
