# SPDX-License-Identifier: BSD-3-Clause
"""The chart's dashboards on a real Prometheus that scraped a real run: every panel has something to show."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import prometheus
import pytest

from dl4mic.v1.data_pb2 import Dataset
from dl4mic.v1.request_pb2 import JobOptions, PredictRequest

from .conftest import Orchestrator, wait_until

ABSENT = ("dl4mic_gpu", "dl4mic_worker_gpu", "dl4mic_cluster_calls")
"""Here there is neither a GPU nor a cluster."""

pytestmark = pytest.mark.skipif(prometheus.PROGRAM is None, reason=prometheus.WHY_NOT)


def work(server: Orchestrator) -> None:
    """Train, apply the model, and let a training fail."""
    server.train("train", epochs=4, step_seconds=0.1)
    server.wait("train")
    images = Dataset(source=f"{server.data}/test/images")
    options = JobOptions(job_id="predict")
    request = PredictRequest(network="blur", options=options, data=images)
    request.model.name = "spots"
    request.parameters["step_seconds"].number = 0.7
    server.networks.Predict(request)
    server.wait("predict")
    server.train("failing", epochs=2, fault="exception")
    server.wait("failing")


def test_every_panel_has_something_to_show(
    new_orchestrator: Callable[..., Orchestrator], tmp_path: Path
) -> None:
    port = prometheus.free_port()
    server = new_orchestrator("--metrics-port", str(port))
    with prometheus.prometheus(tmp_path, f"127.0.0.1:{port}") as watching:
        wait_until(lambda: bool(watching.ever("dl4mic_jobs_ended_total")))
        work(server)
        wait_until(lambda: bool(watching.ever("sum(dl4mic_jobs_ended_total) >= 3")))
        time.sleep(2.0)  # rates are seen by the scrapes after it
        first = 'rate(dl4mic_job_wait_seconds_count{verb="predict"}[5s]) > 0'
        assert watching.ever(first), "the first job of its kind is seen, too"
        empty = watching.empty_panels()
    assert [each for each in empty.items() if not any(name in each[1] for name in ABSENT)] == []
