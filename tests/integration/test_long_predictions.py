# SPDX-License-Identifier: BSD-3-Clause
"""The prediction of a long folder, cut off and gone on with: no finished image is computed again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from servers import write_spots

from dl4mic.v1.data_pb2 import Dataset, ModelReference
from dl4mic.v1.job_pb2 import CancelJobRequest, Job, RetryJobRequest, WatchJobRequest
from dl4mic.v1.request_pb2 import JobOptions, PredictRequest

from .conftest import Orchestrator

IMAGES = 3000


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of small images: links to a few."""
    folder = tmp_path_factory.mktemp("many")
    write_spots(folder / "few", 3, seed=5)
    (folder / "images").mkdir()
    few = sorted((folder / "few" / "images").iterdir())
    for number in range(IMAGES):
        (folder / "images" / f"{number:05}.tif").hardlink_to(few[number % len(few)])
    return folder / "images"


def await_images(orchestrator: Orchestrator, job_id: str, count: int) -> None:
    for event in orchestrator.jobs.WatchJob(WatchJobRequest(job_id=job_id), timeout=120):
        if event.progress.unit == "images" and event.progress.done >= count:
            return
    pytest.fail(f"it ended before {count} images")


def test_a_cancelled_prediction_goes_on_where_it_was(
    new_orchestrator: Callable[..., Orchestrator], many: Path
) -> None:
    orchestrator = new_orchestrator()
    orchestrator.train("t", epochs=1)
    model = orchestrator.wait("t").model
    request = PredictRequest(network="blur", data=Dataset(source=str(many)))
    request.options.CopyFrom(JobOptions(job_id="p"))
    request.model.CopyFrom(ModelReference(name=model))
    orchestrator.networks.Predict(request)
    await_images(orchestrator, "p", 50)
    orchestrator.jobs.CancelJob(CancelJobRequest(job_id="p"))
    assert orchestrator.wait("p").state == Job.CANCELLED
    finished = {
        each.name: each.stat().st_ino
        for each in (orchestrator.workspace / "jobs/p/1/artifacts/predictions").glob("*.tif")
    }
    assert 50 <= len(finished) < IMAGES
    orchestrator.jobs.RetryJob(RetryJobRequest(job_id="p"))
    job = orchestrator.wait("p")
    assert (job.state, job.attempt) == (Job.SUCCEEDED, 2), job.error
    published = {
        each.name: each.stat().st_ino
        for each in (orchestrator.workspace / "jobs/p/artifacts/predictions").glob("*.tif")
    }
    assert len(published) == IMAGES
    assert {name: published[name] for name in finished} == finished  # the same files, not new ones
