# SPDX-License-Identifier: BSD-3-Clause
"""An orchestrator's core over a scripted cluster that schedules, with played instances behind the dialling seam."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from scripted_service import Service
from servers import needing_a_gpu

from dl4mic.locations import Locations
from dl4mic.manifest import read_service
from dl4mic.v1.job_pb2 import Job, JobError, JobEvent
from dl4mic_orchestrator.attempt import Attempts
from dl4mic_orchestrator.backends.base import Progress
from dl4mic_orchestrator.backends.images import ServiceImages
from dl4mic_orchestrator.backends.kubernetes.backend import KubernetesBackend
from dl4mic_orchestrator.backends.kubernetes.client import JOBS, NODES, PODS
from dl4mic_orchestrator.backends.kubernetes.instance_tokens import InstanceTokens
from dl4mic_orchestrator.backends.kubernetes.manifests import INSTANCE
from dl4mic_orchestrator.backends.kubernetes.settings import Volume
from dl4mic_orchestrator.backends.kubernetes.volumes import Volumes
from dl4mic_orchestrator.briefing import Briefing
from dl4mic_orchestrator.catalog import Catalog
from dl4mic_orchestrator.dial import NotServingError
from dl4mic_orchestrator.follow import Patience
from dl4mic_orchestrator.reconcile import Reconciler
from dl4mic_orchestrator.registry import Registry
from dl4mic_orchestrator.settle import Settlement
from dl4mic_orchestrator.snapshot import Limits
from dl4mic_orchestrator.store import Store

from ..scripted_world import Meter, Wishes  # noqa: TID252 - tests are no package to import from
from .instances import settings
from .scripted_cluster import NOW, ScriptedCluster, eventually

LOOK_AHEAD = 5
_NO_GPU = "0/1 nodes are available: 1 Insufficient nvidia.com/gpu."


class Facility:
    """Nodes with GPUs, jobs that want one, and an orchestrator between them.

    Attributes
    ----------
    hold
        Instances do not end by themselves.
    most_running, most_waiting
        Pods at once.
    """

    def __init__(self, folder: Path, gpus: int, *, keeps_priority: bool = True) -> None:
        self.folder = folder
        self._classes = {"0": "routine"} if keeps_priority else {}
        self.gpus = gpus
        self.hold = False
        self.paused = False
        self.most_running = self.most_waiting = 0
        self.services: dict[str, Service] = {}
        self.cluster = ScriptedCluster()
        self.node = "gpu-1"
        self.cluster.node(self.node, gpus=gpus)
        self.store = Store(folder / "store.sqlite")
        self.warm = Wishes()
        self.meter = Meter()
        self._stopped = threading.Event()
        self._jobs = folder / "jobs"
        (folder / "plates").mkdir()
        self.reconciler = self._reconciler(folder)
        threading.Thread(target=self.reconciler.run, daemon=True).start()
        threading.Thread(target=self._schedule, daemon=True).start()

    def submit(self, job_id: str, priority: int = 0) -> None:
        """Accept a training."""
        job = Job(id=job_id, network="blur", project="p", priority=priority)
        job.train.network, job.train.model = "blur", job_id
        job.train.data.source = "plates:"
        self.store.jobs.create(job)
        self.warm.wake.set()

    def job(self, job_id: str) -> Job:
        """Get a job as callers see it."""
        return self.store.jobs.message(job_id)

    def stop(self) -> None:
        """End it all: a thread that went on would do so in the tests that come next."""
        self.hold = self.paused = self.cluster.down = False
        for job in self.store.jobs.open_jobs():
            self.store.jobs.request_cancel(job.id)
        self.warm.wake.set()
        try:
            eventually(lambda: self.reconciler.idle)
        finally:
            self._stopped.set()
            self.reconciler.stop()
            self.cluster.break_watches()

    @property
    def launched(self) -> list[str]:
        """Name the jobs in the order in which the cluster got them."""
        return [
            each["metadata"]["labels"]["dl4mic-job"]
            for _, kind, change, each in self.cluster.changes
            if (kind, change) == (JOBS.plural, "ADDED")
        ]

    def pods(self) -> list[dict]:
        """List the pods that there are."""
        return [
            each for (kind, _), each in list(self.cluster.objects.items()) if kind == PODS.plural
        ]

    # What a dialler does.

    def await_serving(self, address: str, give_up: Callable[[], bool], seconds: float) -> None:
        if give_up():
            raise NotServingError("the service did not answer")

    @contextmanager
    def dial(self, address: str, token: Path | None) -> Iterator[Called]:
        yield Called(self)

    # What a cluster does.

    def _schedule(self) -> None:
        """Do what controllers, scheduler and kubelet do: make pods, and give them GPUs by their age."""
        while not self._stopped.wait(0.01):
            if self.paused:
                continue
            jobs = [name for kind, name in list(self.cluster.objects) if kind == JOBS.plural]
            for name in jobs:
                if ("pods", f"{name}-0") not in self.cluster.objects:
                    self._try(lambda name=name: self.cluster.pod_of(name))
            self._place()

    def _place(self) -> None:
        waiting = [pod for pod in self.pods() if not pod["spec"].get("nodeName")]
        running = [pod for pod in self.pods() if pod["status"].get("phase") == "Running"]
        self.most_waiting = max(self.most_waiting, len(waiting))
        self.most_running = max(self.most_running, len(running))
        free = self.gpus - len(running)
        for pod in sorted(waiting, key=lambda pod: pod["metadata"]["creationTimestamp"]):
            if free > 0:
                free -= 1
                self._try(lambda pod=pod: self.cluster.run(pod, self.node))
            elif "conditions" not in pod["status"]:
                self._try(lambda pod=pod: self.cluster.unschedulable(pod, _NO_GPU))

    def _try(self, change: Callable[[], Any]) -> None:
        try:
            change()
        except KeyError:
            pass  # it was deleted meanwhile

    def evict(self, instance_id: str) -> None:
        """Ask a pod to end, as a drain does: its worker writes a checkpoint, and says what it was told."""
        (pod,) = (pod for pod in self.pods() if pod["metadata"]["labels"][INSTANCE] == instance_id)
        pod["metadata"]["deletionTimestamp"] = NOW
        self.cluster.set(PODS, pod)
        states = {row.id: row.backend_state for row in self.store.instances.all()}
        while self.backend.probe([states[instance_id]])[0].fault is None:
            self._stopped.wait(0.01)  # a real worker takes its time for a checkpoint, too
        self.services[instance_id].end("FAILED", JobError.CRASHED)

    def lose_node(self) -> None:
        """Have the node vanish with all that runs there; another one comes."""
        self.paused = True
        lost, self.node = self.node, "gpu-2"
        self.cluster.remove(NODES, lost)
        self.cluster.node(self.node, gpus=self.gpus)

    def _reconciler(self, folder: Path) -> Reconciler:
        catalog = Catalog([read_service(needing_a_gpu("blur", folder / "services"))])
        registry = Registry(self.store.models, Content(folder / "models"))
        roots = {"plates": folder / "plates"}
        locations = Locations(roots, folder / "uploads", lambda job: self._jobs / job)
        briefing = Briefing(self.store.jobs, registry, catalog, locations, self._jobs)
        settlement = Settlement(self.store.jobs, registry, briefing, self.meter)
        volumes = Volumes({folder: Volume("workspace"), folder / "plates": Volume("plates")})
        images = {"blur": ServiceImages("blur:1")}
        self.backend = backend = KubernetesBackend(
            self.cluster,
            settings(look_ahead=LOOK_AHEAD, priority_classes=self._classes),
            images,
            volumes,
            InstanceTokens(folder / "tokens"),
        )
        attempts = Attempts(
            store=self.store, backend=backend, catalog=catalog, briefing=briefing, data_check=Check(), dialler=self,
            settlement=settlement, patience=Patience(180, 45), start_seconds=60, meter=self.meter,
            placed=self.warm.wake.set,
        )  # fmt: skip
        return Reconciler(
            self.store,
            backend,
            catalog,
            attempts,
            settlement,
            self.warm,
            Limits(),  # type: ignore[arg-type]
        )


class Called:
    """The calls of a played instance: it trains at once, unless it is held."""

    def __init__(self, facility: Facility) -> None:
        self._facility = facility
        self._service: Service | None = None

    def assign(self, request: Any) -> None:
        job_id = request.options.job_id
        attempt = self._facility.job(job_id).attempt
        key = f"{job_id}-{attempt}"
        folder = self._facility.folder / "jobs" / job_id / str(attempt)
        self._service = self._facility.services.setdefault(key, Service(job_id, attempt, folder))
        self._service.say_state("RUNNING")

    @contextmanager
    def watch(self, job_id: str, after: int) -> Iterator[Iterator[list[JobEvent]]]:
        yield self._batches(after)

    def cancel(self, job_id: str) -> None:
        if self._service is not None:
            self._service.end("CANCELLED")

    def _batches(self, after: int) -> Iterator[list[JobEvent]]:
        service = self._service
        assert service is not None
        while True:
            if not self._facility.hold and not service.ended:
                service.make_model()
                service.end("SUCCEEDED")
            new = [event for event in service.events if event.sequence > after]
            after += len(new)
            yield new
            threading.Event().wait(0.01)


class Check:
    """Finds nothing wrong with data."""

    def run(self, folder: Path, progress: Progress) -> None:
        return None


class Content:
    """Models in plain folders."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, tag: str, folder: Path) -> Path:
        return Path(shutil.copytree(folder, self._folder / tag))

    def path(self, tag: str) -> Path:
        return self._folder / tag

    def delete(self, tag: str) -> None:
        shutil.rmtree(self._folder / tag)
