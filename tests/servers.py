# SPDX-License-Identifier: BSD-3-Clause
"""Servers of the contract as processes of their own, what to ask of them, and small data to ask with."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import grpc
import numpy as np
import tifffile

from dl4mic.fold import has_ended
from dl4mic.v1.data_pb2 import Dataset
from dl4mic.v1.job_pb2 import GetJobRequest, Job, WatchJobRequest
from dl4mic.v1.job_pb2_grpc import JobServiceStub
from dl4mic.v1.network_pb2_grpc import NetworkServiceStub
from dl4mic.v1.parameter_pb2 import ParameterList, ParameterValue
from dl4mic.v1.request_pb2 import JobOptions, TrainRequest

ROOT = Path(__file__).resolve().parents[1]
FAKES = ROOT / "tests" / "fakes"
SERVICE_PYTHON = "SERVICE_PYTHON"
"""Variable that names the interpreter of a service by itself, where that is not ours."""

ENVIRONMENTS = ROOT / "build" / "test-environments"


@dataclass
class Server:
    """A running server of the contract, and stubs to call it; its folder is one of its own."""

    kind: str
    process: subprocess.Popen[bytes]
    channel: grpc.Channel
    data: Path
    folder: Path

    @property
    def networks(self) -> NetworkServiceStub:
        return NetworkServiceStub(self.channel)

    @property
    def jobs(self) -> JobServiceStub:
        return JobServiceStub(self.channel)

    def dataset(self, part: str = "train") -> Dataset:
        return Dataset(source=f"{self.data}/{part}/images", target=f"{self.data}/{part}/masks")

    def train(self, job_id: str, **parameters: object) -> Job:
        return self.networks.Train(self.train_request(job_id, **parameters))

    def train_request(self, job_id: str, **parameters: object) -> TrainRequest:
        values = {name: value_of(value) for name, value in parameters.items()}
        options = JobOptions(job_id=job_id)
        return TrainRequest(
            network="blur", options=options, data=self.dataset(), model="spots", parameters=values
        )

    def wait(self, job_id: str) -> Job:
        for _ in self.jobs.WatchJob(WatchJobRequest(job_id=job_id), timeout=120):
            pass
        job = self.jobs.GetJob(GetJobRequest(job_id=job_id))
        assert has_ended(job)
        return job

    def processes_of(self, job_id: str, *words: str) -> list[int]:
        """Ids of the processes of a job, those whose command line holds the words."""
        return processes_with(str(self.folder), f"/jobs/{job_id}/", *words)

    def events(self, job_id: str, after: int = 0) -> list:
        request = WatchJobRequest(job_id=job_id, after_sequence=after)
        return list(self.jobs.WatchJob(request, timeout=120))


def value_of(value: object) -> ParameterValue:
    if isinstance(value, bool):
        return ParameterValue(boolean=value)
    if isinstance(value, int):
        return ParameterValue(integer=value)
    if isinstance(value, float):
        return ParameterValue(number=value)
    if isinstance(value, list):
        return ParameterValue(list=ParameterList(values=[value_of(each) for each in value]))
    return ParameterValue(text=str(value))


def write_spots(folder: Path, count: int, seed: int, size: int = 48) -> None:
    """Write images of bright discs on a noisy ground, and their label images."""
    random = np.random.RandomState(seed)
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True)
    grid = np.mgrid[:size, :size]
    for number in range(count):
        labels = np.zeros((size, size), np.uint16)
        for label, (y, x) in enumerate([(12, 12), (12, 36), (36, 14), (34, 36)], start=1):
            centre = np.array([y, x]) + random.randint(-2, 3, 2)
            labels[np.hypot(*(grid - centre[:, None, None])) < 6] = label
        pixels = 100.0 + 300.0 * (labels > 0) + random.normal(0, 10, labels.shape)
        tifffile.imwrite(folder / "images" / f"spots{number}.tif", pixels.astype(np.uint16))
        tifffile.imwrite(folder / "masks" / f"spots{number}.tif", labels)


def serve_service(folder: Path, address: str, data: Path) -> list[str]:
    python = os.environ.get(SERVICE_PYTHON, sys.executable)
    return [
        python, "-m", "dl4mic_sdk", "serve", str(FAKES / "blur"),
        "--listen", address, "--jobs", str(folder / "jobs"), "--root", f"lab={data}",
    ]  # fmt: skip


def serve_orchestrator(folder: Path, address: str, data: Path) -> list[str]:
    return [
        sys.executable, "-m", "dl4mic_orchestrator", "--listen", address, "--workspace", str(folder / "workspace"),
        "--services", str(FAKES), "--sdk", str(ROOT / "services" / "_sdk"), "--root", f"lab={data}",
        "--environments", str(ENVIRONMENTS),
    ]  # fmt: skip


COMMANDS = {"service": serve_service, "orchestrator": serve_orchestrator}


def needing_a_gpu(fake: str, folder: Path) -> Path:
    """Copy a fake service into a folder, and let its networks ask for a GPU of 12 GiB."""
    service = folder / fake
    shutil.copytree(FAKES / fake, service, ignore=shutil.ignore_patterns("example", "tests"))
    manifest = service / "service.yaml"
    text = manifest.read_text(encoding="utf-8")
    wanted = text.replace("gpu: none,", "gpu: needed, gpu_memory_gib: 12,")
    manifest.write_text(wanted, encoding="utf-8")
    return service


def write_bad_spots(folder: Path) -> None:
    """Write spots with two faults: labels of real numbers, and labels of another shape than their image."""
    write_spots(folder, 4, seed=9)
    for number, labels in enumerate([np.ones((48, 48), np.float32), np.ones((40, 48), np.uint16)]):
        tifffile.imwrite(folder / "masks" / f"spots{number}.tif", labels)


def processes_with(*words: str) -> list[int]:
    """Ids of the processes whose command line holds all the words."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue
        if all(each in command for each in words) and int(path.parent.name) != os.getpid():
            found.append(int(path.parent.name))
    return found
