# SPDX-License-Identifier: BSD-3-Clause
"""An installation for faults: networks that use a GPU, ask for too much or have no image, and a small disk."""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from container_engine import build_images, run_tool
from servers import FAKES

from dl4mic.v1.job_pb2 import CancelJobRequest, Job, JobError, JobEvent
from dl4mic.v1.model_pb2 import ListModelsRequest
from dl4mic.v1.request_pb2 import JobOptions

from .cluster import Cluster
from .installation import NAME, Installation, wait_until
from .site import Values, site

GPU_IMAGE = "dl4mic-accelerated:0.1.0"
_NODES_WITH_GPUS = "--selector=nvidia.com/gpu.present=true"
_MEMORY_LABEL = "nvidia.com/gpu.memory"

LEFT_SECONDS = 180.0
"""An old kubelet that lost sight of a container while it ended its pod looks again after more than a minute."""

REASON_SECONDS = 30.0
"""Within which a job must say why it waits, or why it failed."""

_DISK = "700m"
"""Of the workspace: the orchestrator takes new jobs from 512 MiB on."""

_NO_MORE_THAN = {"memory_gib": 0.5, "cpus": 0.1}

_SERVICES: dict[str, dict[str, Any]] = {
    "accelerated": {
        "accelerated": {"gpu": "needed", "gpu_memory_gib": 4, **_NO_MORE_THAN},
        "giant": {"gpu": "needed", "gpu_memory_gib": 1000, **_NO_MORE_THAN},
    },
    "absent": {"absent": {"gpu": "none", **_NO_MORE_THAN}},
    "wide": {"wide": {"gpu": "none", "memory_gib": 0.5, "cpus": 1000}},
}
"""What the networks of the services besides blur ask for; all do what blur does."""

_ON_A_GPU = """

class Accelerated(Blur):
    def device_kernel(self, asked):
        from dl4mic_sdk.device import Device

        assert asked == "gpu"
        return Device("gpu", os.environ["NVIDIA_VISIBLE_DEVICES"])


networks = {"accelerated": Accelerated, "giant": Accelerated}
"""

_DOCKERFILE = """
FROM dl4mic-fakes:0.1.0
COPY service.yaml network.py /app/accelerated/
USER 0
RUN ln -sfn /app/accelerated /app/service
USER 10001:10001
"""


class Facility(Installation):
    """Such an installation.

    Attributes
    ----------
    workspace
        Its folder, on this machine.
    """

    workspace: Path

    def train(
        self,
        job_id: str,
        network: str = "blur",
        priority: int = 0,
        device: JobOptions.Device = JobOptions.AUTO,
        **parameters: object,
    ) -> Job:
        """Train a model that is called as the job is."""
        request = self.train_request(job_id, **parameters)
        request.network, request.model = network, job_id
        request.options.MergeFrom(JobOptions(priority=priority, device=device))
        return self.networks.Train(request, timeout=60)

    def begin(self, job_id: str, network: str = "blur") -> None:
        """Have a training of some twenty seconds go so far that it can be resumed."""
        self.train(job_id, network, epochs=50, step_seconds=0.05)
        self.wait_for(job_id, "checkpoint")

    def pod(self, job_id: str) -> str:
        """Name the one pod of a job."""
        (pod,) = self.pods(job_id)
        return str(pod["metadata"]["name"])

    def check_resumed(self, job_id: str, attempts: int = 2) -> list[JobError]:
        """See that a job ended once, resumed, not begun anew, and published once; give what went wrong before."""
        job = self.wait(job_id)
        assert (job.state, job.attempt) == (Job.SUCCEEDED, attempts), job
        events = self.events(job_id)
        assert [each.sequence for each in events] == list(range(1, len(events) + 1))
        steps = [each.checkpoint.step for each in events if each.HasField("checkpoint")]
        # One that was stopped after an epoch's last step validates again, and tells that step again.
        assert steps == sorted(steps)
        assert [each.state.state for each in events if each.HasField("state")].count(job.state) == 1
        begun = [each.progress.done for each in events if _is_progress(each, attempts)]
        assert attempts == 1 or begun[0] > 1
        models = self.models.ListModels(ListModelsRequest(name=job_id)).models
        assert [each.version for each in models] == [1]
        self.check_nothing_left(job_id)
        return failures(events)

    def cancel(self, job_id: str) -> None:
        """Ask for the end of a job."""
        self.jobs.CancelJob(CancelJobRequest(job_id=job_id), timeout=60)

    def give_up(self, job_id: str) -> None:
        """Cancel a job that will never run, and see that nothing of it stays."""
        self.cancel(job_id)
        assert self.wait(job_id).state == Job.CANCELLED
        self.check_nothing_left(job_id)

    def check_nothing_left(self, job_id: str) -> None:
        """See that the cluster has nothing of a job any more."""
        with suppress(AssertionError):
            wait_until(lambda: self.left(job_id) == [], LEFT_SECONDS)
        assert self.left(job_id) == []

    def left(self, job_id: str) -> list[str]:
        """Name what the cluster still has of a job."""
        selector = f"--selector=dl4mic-job={job_id}"
        return self.kubectl("get", "jobs,pods", selector, "--output", "name").split()

    def wait_for_reason(self, job_id: str, words: str) -> Job:
        """Wait until a job says why it waits or what went wrong, which must not take long."""
        with suppress(AssertionError):
            wait_until(lambda: words in self.reason(job_id), REASON_SECONDS)
        assert words in self.reason(job_id), self.told()
        return self.job(job_id)

    def reason(self, job_id: str) -> str:
        """Say why a job waits, or what went wrong."""
        job = self.job(job_id)
        return f"{job.waiting_reason} {job.error.message}"


def failures(events: list[JobEvent]) -> list[JobError]:
    """Give the error of each attempt that failed; later states repeat it."""
    told = {each.attempt: each.state.error for each in events if each.state.HasField("error")}
    return list(told.values())


def _is_progress(event: JobEvent, attempt: int) -> bool:
    return event.attempt == attempt and event.HasField("progress")


@contextmanager
def made(cluster: Cluster, spots: Path, folder: Path) -> Iterator[Facility]:
    """Install it, and take it away at the end."""
    if not cluster.is_ours:
        pytest.skip(
            "the image and the folders that this needs cannot be had on a cluster of others"
        )
    namespace = f"dl4mic-{uuid.uuid4().hex[:8]}"
    workspace = folder / "workspace"
    with (
        _small_disk(workspace),
        _memory_told(cluster),
        cluster.namespace(namespace),
        site(cluster, namespace, NAME, folder) as values,
    ):
        _write_services(workspace / "services")
        _bring_image(workspace / "services" / "accelerated")
        facility = Facility(cluster, namespace, values | _VALUES, folder)
        facility.workspace = workspace
        facility.install()
        facility.send(spots)
        yield facility


_FAKES = {"image": {"repository": "dl4mic-fakes"}}

_VALUES: Values = {
    "orchestrator": {
        "arguments": ["--services=/workspace/services"],
        "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}},
    },
    "services": {
        # Several jobs at once shall fit on a machine of two cores.
        "blur": {**_FAKES, "resources": {"requests": {"cpu": "100m"}}},
        "accelerated": {"image": {"repository": GPU_IMAGE.partition(":")[0]}},
        "absent": {"image": {"repository": "dl4mic-nowhere"}},
        "wide": _FAKES,
    },
}


def _write_services(folder: Path) -> None:
    """Write what the orchestrator is to know of the services; blur's own folder is in its image."""
    folder.mkdir()
    (folder / "blur").symlink_to("/app/fakes/blur")
    blur = yaml.safe_load((FAKES / "blur" / "service.yaml").read_text())
    for service, networks in _SERVICES.items():
        entry = blur["networks"]["blur"]
        described = {name: {**entry, "resources": needs} for name, needs in networks.items()}
        (folder / service).mkdir()
        manifest = {**blur, "service": service, "networks": described}
        (folder / service / "service.yaml").write_text(yaml.safe_dump(manifest))


def _bring_image(service: Path) -> None:
    """Make the image of the service that uses a GPU, and carry it into the cluster."""
    build_images("dl4mic-fakes")
    network = (FAKES / "blur" / "network.py").read_text()
    (service / "network.py").write_text(network + _ON_A_GPU)
    (service / "Dockerfile").write_text(_DOCKERFILE)
    run_tool("image", "build", "-t", GPU_IMAGE, str(service))
    run_tool("image", "load", GPU_IMAGE)


@contextmanager
def _small_disk(folder: Path) -> Iterator[None]:
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_DISK}", "tmpfs", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=False)


@contextmanager
def _memory_told(cluster: Cluster) -> Iterator[None]:
    """Have the nodes tell how much memory their GPUs have, as NVIDIA's discovery does: 16 GiB."""
    cluster.kubectl("label", "--overwrite", "nodes", _NODES_WITH_GPUS, f"{_MEMORY_LABEL}=16384")
    try:
        yield
    finally:
        cluster.kubectl("label", "nodes", _NODES_WITH_GPUS, f"{_MEMORY_LABEL}-")
