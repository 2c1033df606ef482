# SPDX-License-Identifier: BSD-3-Clause
"""Jobs of a service on its example data, run as the worker runs them: what the tests of every service share."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dl4mic.manifest import read_service
from dl4mic_sdk import verbs
from dl4mic_sdk.context import Context
from dl4mic_sdk.device import Device
from dl4mic_sdk.events import EventWriter, read_events

MODEL_NAME = "example"
"""Of every model that is trained or imported."""


@dataclasses.dataclass(frozen=True)
class Job:
    """One attempt of a job, in a folder as the host makes it."""

    folder: Path
    request: dict[str, Any]

    @property
    def artifacts(self) -> Path:
        return self.folder / "artifacts"

    @property
    def model(self) -> Path:
        return self.artifacts / "model"

    @property
    def predictions(self) -> Path:
        return self.artifacts / "predictions"

    @property
    def exported(self) -> Path:
        (archive,) = (self.artifacts / "export").iterdir()
        return archive

    def run(self) -> Job:
        """Do the job in this process, with the `network.py` that is on its path."""
        ctx = Context(self.folder, EventWriter(self.folder), Device("cpu", ""))
        data = verbs.check(self.request, ctx)
        chosen = importlib.import_module("network").networks[self.request["network"]]
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

    def end_of_log(self) -> str:
        """Return the last words of the worker, for who wonders why it ended."""
        return (self.folder / "stderr.log").read_text()[-2000:]

    def again(self) -> Job:
        """Make the next attempt."""
        number = self.request["attempt"] + 1
        changes = {"attempt": number, "previous": str(self.folder)}
        return _job(self.folder.with_name(str(number)), {**self.request, **changes})


@dataclasses.dataclass(frozen=True)
class ServiceJobs:
    """Makes jobs of the service in a folder."""

    folder: Path

    @property
    def example(self) -> Path:
        return self.folder / "example"

    @functools.cached_property
    def records(self) -> Mapping[str, Any]:
        """What the manifest says of each network."""
        return read_service(self.folder).records

    def make(self, folder: Path, verb: str, network: str, source: Path, **options: Any) -> Job:
        """Make a job; `given` are parameters, `target` and `axes` of the data, the others fields of the request."""
        record = self.records[network]
        given, target = options.pop("given", {}), options.pop("target", None)
        defaults = {
            name: declared.get("default")
            for name, declared in record["parameters"].items()
            if verb in declared["verbs"]
        }
        data = {
            "supervision": record["supervision"],
            "source": str(source),
            "target": str(target or ""),
            "axes": options.pop("axes", ""),
            "class_names": [],
        }
        request = {
            "job_id": "job",
            "attempt": 1,
            "verb": verb,
            "network": network,
            "service_folder": str(self.folder),
            "service_version": record["version"],
            "title": "",
            "project": "default",
            "preset": "default",
            "parameters": {**defaults, **given},
            "given": sorted(given),
            "data": data,
            "validation": None,
            "model_name": MODEL_NAME,
            "parent": None,
            "models": [],
            "prediction": None,
            "device": "cpu",
            "previous": None,
            "manifest": record,
            **options,
        }
        return _job(folder / "1", request)

    def make_training(self, folder: Path, network: str, **options: Any) -> Job:
        """Make a training, on the network's example unless `source` says otherwise."""
        data = self.example / network / "train"
        if "source" not in options and (data / "target").is_dir():
            options = {"source": data / "source", "target": data / "target", **options}
        return self.make(folder, "train", network, options.pop("source", data), **options)

    def make_import(self, folder: Path, network: str, source: Path, **options: Any) -> Job:
        """Make an import of a model."""
        wanted = {"format": "", **options}
        return _without_data(
            self.make(folder, "import_model", network, source, **wanted), str(source)
        )

    def make_export(self, folder: Path, network: str, model: dict[str, str], format: str) -> Job:
        """Make an export of a model."""
        made = self.make(folder, "export_model", network, folder, models=[model], format=format)
        return _without_data(made, "")

    def make_scoring(self, folder: Path, model: Job, **options: Any) -> Job:
        """Make the quality control of a trained model on the example's test images."""
        network = model.request["network"]
        test = self.example / network / "test"
        options = {"target": test / "target", "models": [reference(model)], **options}
        return self.make(folder, "qc", network, test / "source", **options)

    def scored(self, folder: Path, model: Job, **options: Any) -> Job:
        """Do it."""
        return self.make_scoring(folder, model, **options).run()

    def make_prediction(self, folder: Path, model: Job, **options: Any) -> Job:
        """Make a prediction of the example's test images with a trained model."""
        network = model.request["network"]
        source = self.image_of(network).parent
        return self.make(folder, "predict", network, source, models=[reference(model)], **options)

    def quick(self, network: str, **given: Any) -> dict[str, Any]:
        """Return the parameters of the preset `quick`."""
        return {**self.records[network]["presets"]["quick"]["parameters"], **given}

    def image_of(self, network: str) -> Path:
        """Return the example's test image."""
        (image,) = (self.example / network / "test" / "source").glob("*.tif")
        return image


def reference(job: Job, weights: str = "best") -> dict[str, str]:
    """Name the model of a finished training in a request."""
    return {"name": f"{MODEL_NAME}:1", "folder": str(job.model), "weights": weights}


def left_by(*jobs: Job) -> set[str]:
    """Return the names of what finished jobs left."""
    return {path.name for job in jobs for path in job.artifacts.iterdir()}


def declared_for(job: Job) -> set[str]:
    """Return the names of what the manifest says that jobs of this verb leave; no other is announced to users."""
    return set(job.request["manifest"]["outputs"][job.request["verb"]])


def _without_data(job: Job, source: str) -> Job:
    request = {name: value for name, value in job.request.items() if name != "data"}
    return dataclasses.replace(job, request={**request, "source": source})


def _job(folder: Path, request: dict[str, Any]) -> Job:
    (folder / "artifacts").mkdir(parents=True)
    (folder / "request.json").write_text(json.dumps(request), encoding="utf-8")
    return Job(folder, request)
