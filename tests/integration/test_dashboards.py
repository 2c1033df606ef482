# SPDX-License-Identifier: BSD-3-Clause
"""The chart's dashboards on a real Prometheus that scraped a real run: every panel has something to show."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.parse import urlencode

import pytest
from servers import ROOT

from dl4mic.v1.data_pb2 import Dataset
from dl4mic.v1.request_pb2 import JobOptions, PredictRequest

from .conftest import Orchestrator, wait_until

PROMETHEUS = shutil.which("prometheus")
PANELS = [
    (panel["title"], target["expr"])
    for path in sorted((ROOT / "helm" / "dl4mic" / "dashboards").glob("*.json"))
    for panel in json.loads(path.read_text())["panels"]
    for target in panel["targets"]
]
ABSENT = ("dl4mic_gpu", "dl4mic_worker_gpu", "dl4mic_cluster_calls")
"""Here there is neither a GPU nor a cluster."""

pytestmark = pytest.mark.skipif(
    PROMETHEUS is None, reason="Prometheus is not installed here (Debian's package prometheus)"
)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class Prometheus:
    """A Prometheus that scrapes one port each second."""

    def __init__(self, folder: Path, scraped: int) -> None:
        job = {
            "job_name": "imaging-dl4mic-metrics",
            "static_configs": [{"targets": [f"127.0.0.1:{scraped}"]}],
        }
        settings = {"global": {"scrape_interval": "1s"}, "scrape_configs": [job]}
        (folder / "prometheus.yml").write_text(json.dumps(settings))
        self._url = f"127.0.0.1:{free_port()}"
        self._since = time.time()
        command = [
            str(PROMETHEUS), f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
            f"--web.listen-address={self._url}", "--log.level=warn",
        ]  # fmt: skip
        self.process = subprocess.Popen(command)
        wait_until(self._is_ready)

    def ever(self, expression: str) -> list[float]:
        """Values of an expression at each second so far, those that are numbers."""
        span = {"query": expression, "start": self._since, "end": time.time(), "step": 1}
        with urllib.request.urlopen(
            f"http://{self._url}/api/v1/query_range?{urlencode(span)}"
        ) as answer:
            found = json.load(answer)["data"]["result"]
        values = [float(value) for series in found for _, value in series["values"]]
        return [value for value in values if value == value]

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{self._url}/-/ready") as answer:
                return bool(answer.status == 200)
        except URLError:
            return False


@pytest.fixture
def prometheus(tmp_path: Path) -> Iterator[Callable[[int], Prometheus]]:
    made: list[Prometheus] = []

    def start(port: int) -> Prometheus:
        made.append(Prometheus(tmp_path, port))
        return made[-1]

    yield start
    for each in made:
        each.process.terminate()
        each.process.wait(30)


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
    new_orchestrator: Callable[..., Orchestrator], prometheus: Callable[[int], Prometheus]
) -> None:
    port = free_port()
    server = new_orchestrator("--metrics-port", str(port))
    watching = prometheus(port)
    wait_until(lambda: bool(watching.ever("dl4mic_jobs_ended_total")))
    work(server)
    wait_until(lambda: bool(watching.ever("sum(dl4mic_jobs_ended_total) >= 3")))
    time.sleep(2.0)  # rates are seen by the scrapes after it
    first = 'rate(dl4mic_job_wait_seconds_count{verb="predict"}[5s]) > 0'
    assert watching.ever(first), "the first job of its kind is seen, too"
    empty = {
        title: expression
        for title, expression in PANELS
        if not watching.ever(expression.replace("$__rate_interval", "5s"))
    }
    assert {title for title in empty if not any(name in empty[title] for name in ABSENT)} == set()
