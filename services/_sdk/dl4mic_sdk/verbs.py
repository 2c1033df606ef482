# SPDX-License-Identifier: BSD-3-Clause
"""What surrounds a network's own `train`, `predict` and `qc`: the data check before, the record and report after."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Callable, Dict, Mapping, Optional, Sequence

from dl4mic_sdk import model_record
from dl4mic_sdk.context import Context
from dl4mic_sdk.data_check import check_data
from dl4mic_sdk.data_summary import DataSummary
from dl4mic_sdk.model_transfer import export_model, import_model
from dl4mic_sdk.network import Network
from dl4mic_sdk.pairs import Item
from dl4mic_sdk.prediction_check import sources_of
from dl4mic_sdk.qc.candidates import with_all_weights
from dl4mic_sdk.split import Split, split_by_parameters
from dl4mic_sdk.task import ModelFolder, PredictTask, QcTask, TrainTask

MODEL = "model"
PREDICTIONS = "predictions"
TRIAL = "trial"


def check(request: Mapping[str, Any], ctx: Context) -> DataSummary:
    """Check the data of a job; quick where the orchestrator has done it already.

    Raises
    ------
    dl4mic_sdk.errors.DataError
        The data cannot be used.
    """
    data = check_data(request, ctx.attempt_folder)
    for code, message in data.warnings:
        ctx.warning(code, message)
    return data


def train(request: Mapping[str, Any], data: DataSummary, network: Network, ctx: Context) -> None:
    """Train, with the model's record and the report begun before and completed after."""
    from dl4mic_sdk.dry_run import try_training
    from dl4mic_sdk.training_report import TrainingReport

    if request.get("dry_run"):
        task = _train_task(request, data, ctx.attempt_folder / TRIAL)
        try_training(request, task, network, ctx)
        return
    task = _train_task(request, data, ctx.artifacts / MODEL)
    record = model_record.begin(
        request,
        task.model,
        data=data.as_record(),
        channels=task.train[0].channels,
        split=task.split,
        parent=task.parent,
        device=ctx.device,
    )
    report = TrainingReport(request, task, ctx)
    report.begin(record)
    started = time.monotonic()
    network.train(task, ctx)
    record = model_record.complete(record, task.model, time.monotonic() - started)
    report.complete(record)
    _announce(request, ctx)


def predict(request: Mapping[str, Any], data: DataSummary, network: Network, ctx: Context) -> None:
    """Apply a model to a folder."""
    model = _open(request["models"][0], request)
    network.load(model)
    output = ctx.artifacts / PREDICTIONS
    output.mkdir(exist_ok=True)
    network.predict(
        PredictTask(
            network=request["network"],
            parameters=request["parameters"],
            items=data.items,
            model=model,
            output=output,
            previous=_previous(request),
        ),
        ctx,
    )
    _announce(request, ctx)


def qc(request: Mapping[str, Any], data: DataSummary, network: Network, ctx: Context) -> None:
    """Score models on images whose targets are known."""
    opened = [_open(each, request) for each in request["models"]]
    models = [each for model in opened for each in with_all_weights(model)]
    network.qc(_qc_task(request, data, models, {}, ctx), ctx)
    _announce(request, ctx)


def qc_of_predictions(request: Mapping[str, Any], data: DataSummary, ctx: Context) -> None:
    """Score finished predictions; no network is needed."""
    from dl4mic_sdk.qc.score import score_finished

    score_finished(_qc_task(request, data, [], sources_of(request), ctx), ctx)
    _announce(request, ctx)


Verb = Callable[[Mapping[str, Any], DataSummary, Network, Context], None]
RUN: Dict[str, Verb] = {
    "train": train,
    "predict": predict,
    "qc": qc,
    "import_model": import_model,
    "export_model": export_model,
}


def _train_task(request: Mapping[str, Any], data: DataSummary, model: Path) -> TrainTask:
    training, validation, split = _split(request, data)
    model.mkdir(exist_ok=True)
    parent = request["parent"]
    return TrainTask(
        network=request["network"],
        parameters=request["parameters"],
        train=training,
        validation=validation,
        model=model,
        parent=_open(parent, request) if parent else None,
        seed=int(request["parameters"].get("seed") or 0),
        data=data,
        split=split,
    )


def _qc_task(
    request: Mapping[str, Any],
    data: DataSummary,
    models: Sequence[ModelFolder],
    sources: Mapping[str, Item],
    ctx: Context,
) -> QcTask:
    return QcTask(
        network=request["network"],
        parameters=request["parameters"],
        items=data.items,
        models=models,
        output=ctx.artifacts,
        task_kind=request["manifest"]["task"],
        data=data,
        manifest=request["manifest"],
        previous=_previous(request),
        sources=sources,
    )


def _split(request: Mapping[str, Any], data: DataSummary) -> Split:
    if data.validation:
        names = [item.name for item in data.validation]
        return list(data.items), list(data.validation), {"mode": "given", "validation": names}
    return split_by_parameters(data.items, request["parameters"])


def _open(model: Mapping[str, str], request: Mapping[str, Any]) -> ModelFolder:
    return ModelFolder.open(
        model["name"], Path(model["folder"]), model["weights"], request["network"]
    )


def _previous(request: Mapping[str, Any]) -> Optional[Path]:
    """Folder of the predictions that the attempt before finished."""
    return Path(request["previous"]) / "artifacts" / PREDICTIONS if request["previous"] else None


def _announce(request: Mapping[str, Any], ctx: Context) -> None:
    """Announce what the manifest promises and the job has made."""
    outputs = request["manifest"].get("outputs", {}).get(request["verb"], {})
    for path, title in outputs.items():
        if (ctx.artifacts / path).exists():
            ctx.artifact(path, title)
