# SPDX-License-Identifier: BSD-3-Clause
"""Jobs on the example data, run as the worker runs them."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import network as plugin

from dl4mic.manifest import read_service
from dl4mic_sdk import verbs
from dl4mic_sdk.context import Context
from dl4mic_sdk.device import Device
from dl4mic_sdk.events import EventWriter, read_events

SERVICE = Path(__file__).resolve().parents[1]
EXAMPLE = SERVICE / "example"
RECORDS = read_service(SERVICE).records


@dataclasses.dataclass(frozen=True)
class Job:
    """One attempt of a job, in a folder as the host makes it."""

    folder: Path
    request: dict[str, Any]

    @property
    def model(self) -> Path:
        return self.folder / "artifacts" / "model"

    @property
    def predictions(self) -> Path:
        return self.folder / "artifacts" / "predictions"

    @property
    def exported(self) -> Path:
        (archive,) = (self.folder / "artifacts" / "export").iterdir()
        return archive

    def run(self) -> Job:
        """Do the job in this process."""
        ctx = Context(self.folder, EventWriter(self.folder), Device("cpu", ""))
        data = verbs.check(self.request, ctx)
        chosen = plugin.networks[self.request["network"]]
        network = chosen(self.request["network"], self.request["parameters"])
        ctx.device = network.device_kernel("cpu")
        verbs.RUN[self.request["verb"]](self.request, data, network, ctx)
        return self

    def start(self) -> subprocess.Popen[bytes]:
        """Do the job in a worker of its own."""
        with (self.folder / "stderr.log").open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "dl4mic_sdk.worker", str(self.folder)],
                stderr=log,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            )

    def events(self, kind: str) -> list[dict[str, Any]]:
        return [event[kind] for _, event in read_events(self.folder) if kind in event]

    def again(self) -> Job:
        """Make the next attempt."""
        number = self.request["attempt"] + 1
        changes = {"attempt": number, "previous": str(self.folder)}
        return _job(self.folder.with_name(str(number)), {**self.request, **changes})


def make(folder: Path, verb: str, network: str, source: Path, **options: Any) -> Job:
    """Make a job; `given` are parameters, the others fields of the request."""
    record = RECORDS[network]
    given = options.pop("given", {})
    defaults = {
        name: declared.get("default")
        for name, declared in record["parameters"].items()
        if verb in declared["verbs"]
    }
    target = options.pop("target", None)
    data = {
        "supervision": "paired_images" if target else "none",
        "source": str(source),
        "target": str(target or ""),
        "axes": "",
        "class_names": [],
    }
    request = {
        "job_id": "job",
        "attempt": 1,
        "verb": verb,
        "network": network,
        "service_folder": str(SERVICE),
        "service_version": record["version"],
        "title": "",
        "project": "default",
        "preset": "default",
        "parameters": {**defaults, **given},
        "given": sorted(given),
        "data": data,
        "validation": None,
        "model_name": "restorer",
        "parent": None,
        "models": [],
        "prediction": None,
        "device": "cpu",
        "previous": None,
        "manifest": record,
        **options,
    }
    return _job(folder / "1", request)


def make_training(folder: Path, network: str, **options: Any) -> Job:
    """Make a training on the network's example."""
    data = EXAMPLE / network / "train"
    return make(folder, "train", network, data / "source", target=data / "target", **options)


def make_import(folder: Path, network: str, source: Path, **options: Any) -> Job:
    """Make an import of a model."""
    wanted = {"format": "", **options}
    return _without_data(make(folder, "import_model", network, source, **wanted), str(source))


def make_export(folder: Path, network: str, model: dict[str, str], format: str) -> Job:
    """Make an export of a model."""
    made = make(folder, "export_model", network, folder, models=[model], format=format)
    return _without_data(made, "")


def _without_data(job: Job, source: str) -> Job:
    request = {name: value for name, value in job.request.items() if name != "data"}
    return dataclasses.replace(job, request={**request, "source": source})


def _job(folder: Path, request: dict[str, Any]) -> Job:
    (folder / "artifacts").mkdir(parents=True)
    (folder / "request.json").write_text(json.dumps(request), encoding="utf-8")
    return Job(folder, request)


def reference(job: Job, weights: str = "best") -> dict[str, str]:
    """Name the model of a finished training in a request."""
    return {"name": "restorer:1", "folder": str(job.model), "weights": weights}


def quick(network: str, **given: Any) -> dict[str, Any]:
    """Parameters of the preset `quick`."""
    return {**RECORDS[network]["presets"]["quick"]["parameters"], **given}
