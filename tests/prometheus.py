# SPDX-License-Identifier: BSD-3-Clause
"""A real Prometheus that scrapes one orchestrator, and the panels of the chart's dashboards to ask it for."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlencode

from servers import ROOT

PROGRAM = shutil.which("prometheus")
WHY_NOT = "Prometheus is not installed here (Debian's package prometheus)"
DASHBOARDS = sorted((ROOT / "helm" / "dl4mic" / "dashboards").glob("*.json"))
_READY_SECONDS = 60


def panels() -> dict[str, str]:
    """Map the title of each line of a panel to what it asks for."""
    return {
        f"{path.stem}: {panel['title']} ({target['refId']})": target["expr"]
        for path in DASHBOARDS
        for panel in json.loads(path.read_text())["panels"]
        for target in panel["targets"]
    }


def free_port() -> int:
    """Find a port that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class Prometheus:
    """A Prometheus that scrapes one orchestrator each second."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._since = time.time()

    def ever(self, expression: str) -> list[float]:
        """Values of an expression at each second so far, those that are numbers."""
        span = {"query": expression, "start": self._since, "end": time.time(), "step": 1}
        found = self._asked("query_range", span)["result"]
        values = [float(value) for series in found for _, value in series["values"]]
        return [value for value in values if value == value]

    def empty_panels(self) -> dict[str, str]:
        """Give the panels that have had nothing to show, of all installations, and their expressions."""
        jobs = self._asked("label/job/values", {"match[]": "dl4mic_open_jobs"})
        chosen = {"$__rate_interval": "5s", "$namespace": ".*", "$job": "|".join(jobs)}
        shown = {title: _filled(each, chosen) for title, each in panels().items()}
        return {title: each for title, each in shown.items() if not self.ever(each)}

    def is_ready(self) -> bool:
        """Say whether it answers."""
        try:
            with urllib.request.urlopen(f"http://{self._address}/-/ready") as answer:
                return bool(answer.status == 200)
        except URLError:
            return False

    def _asked(self, what: str, words: Mapping[str, Any]) -> Any:
        url = f"http://{self._address}/api/v1/{what}?{urlencode(words)}"
        with urllib.request.urlopen(url) as answer:
            return json.load(answer)["data"]


def _filled(expression: str, chosen: Mapping[str, str]) -> str:
    for variable, value in chosen.items():
        expression = expression.replace(variable, value)
    return expression


@contextmanager
def prometheus(folder: Path, scraped: str) -> Iterator[Prometheus]:
    """Run one over a folder, which scrapes HOST:PORT."""
    job = {
        "job_name": "imaging-dl4mic-metrics",
        "static_configs": [{"targets": [scraped]}],
    }
    settings = {"global": {"scrape_interval": "1s"}, "scrape_configs": [job]}
    (folder / "prometheus.yml").write_text(json.dumps(settings))
    address = f"127.0.0.1:{free_port()}"
    command = [
        str(PROGRAM), f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address={address}", "--log.level=warn",
    ]  # fmt: skip
    process = subprocess.Popen(command)
    try:
        running = Prometheus(address)
        end = time.monotonic() + _READY_SECONDS
        while not running.is_ready():
            assert process.poll() is None and time.monotonic() < end, "Prometheus does not answer"
            time.sleep(0.1)
        yield running
    finally:
        process.terminate()
        process.wait(30)
