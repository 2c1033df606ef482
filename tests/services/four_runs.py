# SPDX-License-Identifier: BSD-3-Clause
"""The four runs that the notebooks' authors demand of a release, each job in a fresh process, on the shared models."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from service_jobs import Job, ServiceJobs, declared_for, left_by, reference

from dl4mic_sdk.images import inspect
from dl4mic_sdk.job_folder import EXIT_DONE

Run = Callable[[ServiceJobs, Path, Job], None]


def train_plainly_then_score_and_predict(service: ServiceJobs, folder: Path, model: Job) -> None:
    """Train the network of a model from nothing; of the model itself nothing is used."""
    trained = _trained(service, folder, model.request["network"], augmentation=False)
    record = json.loads((trained.model / "model.json").read_text())
    assert record["parent"] is None
    _scores_and_predicts(service, folder, trained)


def train_augmented_from_a_model_then_score_and_predict(
    service: ServiceJobs, folder: Path, model: Job
) -> None:
    """Train a model further on varied patches."""
    parent = reference(model)
    network = model.request["network"]
    trained = _trained(service, folder, network, parent=parent, augmentation=True)
    record = json.loads((trained.model / "model.json").read_text())
    assert record["parent"] == {name: parent[name] for name in ("name", "weights")}
    assert record["parameters"]["augmentation"]
    _scores_and_predicts(service, folder, trained)


def only_score(service: ServiceJobs, folder: Path, model: Job) -> None:
    """Score a model of earlier."""
    job = service.make_scoring(folder, model)
    _do(job)
    _check_scores(service, job)


def only_predict(service: ServiceJobs, folder: Path, model: Job) -> None:
    """Predict with a model of earlier."""
    job = service.make_prediction(folder, model)
    _do(job)
    _check_prediction(service, job)


RUNS: tuple[Run, ...] = (
    train_plainly_then_score_and_predict,
    train_augmented_from_a_model_then_score_and_predict,
    only_score,
    only_predict,
)

of_each = pytest.mark.parametrize("run", RUNS, ids=[run.__name__ for run in RUNS])
"""For a test that is given a run."""


def _trained(service: ServiceJobs, folder: Path, network: str, **options: Any) -> Job:
    shortly = {"epochs": 1, "steps_per_epoch": 2, "augmentation": options.pop("augmentation")}
    given = service.quick(network, **shortly)
    job = service.make_training(folder / "train", network, given=given, **options)
    _do(job)
    assert left_by(job) == declared_for(job)
    return job


def _scores_and_predicts(service: ServiceJobs, folder: Path, model: Job) -> None:
    """Do both at once: neither needs the other, and half of their time is a framework's start."""
    scoring = service.make_scoring(folder / "qc", model)
    prediction = service.make_prediction(folder / "predict", model)
    _do(scoring, prediction)
    _check_scores(service, scoring)
    _check_prediction(service, prediction)


def _do(*jobs: Job) -> None:
    workers = [job.start() for job in jobs]
    ended = [worker.wait(120) for worker in workers]
    for job, status in zip(jobs, ended, strict=True):
        assert status == EXIT_DONE, job.end_of_log()


def _check_scores(service: ServiceJobs, job: Job) -> None:
    assert {"qc.json", "qc.csv"} <= left_by(job) <= declared_for(job)
    result = json.loads((job.artifacts / "qc.json").read_text())
    assert result["best_model"]["name"] == job.request["models"][0]["name"]
    image = service.image_of(job.request["network"])
    assert [row["image"] for row in result["per_image"]] == [image.stem]
    assert result["failed"] == []


def _check_prediction(service: ServiceJobs, job: Job) -> None:
    image = service.image_of(job.request["network"])
    source, result = inspect(image), inspect(job.predictions / image.name)
    assert (result.axes, result.shape) == (source.axes, source.shape)
    assert "IMAGE_FAILED" not in {each["code"] for each in job.events("warning")}
