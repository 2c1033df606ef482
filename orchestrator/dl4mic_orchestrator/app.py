# SPDX-License-Identifier: BSD-3-Clause
"""Wire everything together: the only module that knows the concrete classes."""

from __future__ import annotations

import fcntl
import json
import logging
import shutil
import sys
import threading
import time
from pathlib import Path
from typing import TextIO

from dl4mic.addresses import check_address, socket_path
from dl4mic.check import NAME
from dl4mic.ending import Ending
from dl4mic.locations import Locations
from dl4mic.manifest import ManifestError, Service, read_service
from dl4mic.server import Listening, listen
from dl4mic.v1.catalog_pb2_grpc import add_CatalogServiceServicer_to_server
from dl4mic.v1.data_pb2_grpc import add_DataServiceServicer_to_server
from dl4mic.v1.job_pb2_grpc import add_JobServiceServicer_to_server
from dl4mic.v1.maintenance_pb2_grpc import add_MaintenanceServiceServicer_to_server
from dl4mic.v1.model_pb2_grpc import add_ModelServiceServicer_to_server
from dl4mic.v1.network_pb2_grpc import add_NetworkServiceServicer_to_server
from dl4mic_orchestrator.allowances import DiskUse
from dl4mic_orchestrator.api.catalog import CatalogApi
from dl4mic_orchestrator.api.data import DataApi
from dl4mic_orchestrator.api.errors import translate
from dl4mic_orchestrator.api.job import JobApi
from dl4mic_orchestrator.api.maintenance import MaintenanceApi
from dl4mic_orchestrator.api.model import ModelApi
from dl4mic_orchestrator.api.network import Admission, NetworkApi
from dl4mic_orchestrator.api.room import Room
from dl4mic_orchestrator.attempt import Attempts
from dl4mic_orchestrator.backends.base import ServiceSpec
from dl4mic_orchestrator.backing import make_backend
from dl4mic_orchestrator.briefing import ARTIFACTS, Briefing
from dl4mic_orchestrator.callers import Callers
from dl4mic_orchestrator.catalog import Catalog
from dl4mic_orchestrator.data_check import DataCheck, GivenEnvironment, SdkEnvironment
from dl4mic_orchestrator.dial import Dialler
from dl4mic_orchestrator.environments import Environments
from dl4mic_orchestrator.examination import Examination
from dl4mic_orchestrator.follow import Patience
from dl4mic_orchestrator.front.authentication import Authentication
from dl4mic_orchestrator.front.tls import Certificate
from dl4mic_orchestrator.front.tokens import Tokens
from dl4mic_orchestrator.inventory import Inventory
from dl4mic_orchestrator.metrics import Metrics
from dl4mic_orchestrator.reconcile import Reconciler
from dl4mic_orchestrator.registry import BentoContent, Registry
from dl4mic_orchestrator.settings import BackendKind, Settings, find_uv
from dl4mic_orchestrator.settle import Settlement
from dl4mic_orchestrator.snapshot import Limits
from dl4mic_orchestrator.store import Store, file_of
from dl4mic_orchestrator.trash import JobFolders
from dl4mic_orchestrator.uses import Uses
from dl4mic_orchestrator.warm import WarmPool

_LAST_CALLS_SECONDS = 2.0

log = logging.getLogger(__name__)


class WorkspaceBusyError(Exception):
    """Another orchestrator has the workspace."""


class App:
    """One orchestrator over one workspace.

    Raises
    ------
    WorkspaceBusyError
        Another one runs there.
    ValueError
        The services' manifests contradict each other.
    OSError
        The address, or the port of the metrics, cannot be listened on.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._certificate = _certificate(settings)
        self._authentication = Authentication(Tokens(settings.tokens) if settings.tokens else None)
        self._lock = _lock(file_of(settings.store))
        check_address(settings.address)
        if settings.metrics_port is not None:
            check_address(f"0.0.0.0:{settings.metrics_port}", "--metrics-port")
        for folder in (settings.jobs, settings.uploads, settings.models, settings.environments):
            folder.mkdir(parents=True, exist_ok=True)
        without_gpu = {name for name, images in settings.images.items() if not images.gpu}
        self.catalog = Catalog(_offered(settings), without_gpu)
        self.store = Store(settings.store)
        self.metrics = Metrics(self.store, [each.name for each in self.catalog])
        self.callers = Callers(self.metrics.called)
        self._registry = Registry(self.store.models, BentoContent(settings.models))
        self._locations = Locations(
            settings.roots, settings.uploads, self._artifacts_of, self.catalog.examples()
        )
        self._uses = Uses(self.store, self._locations)
        self._environments = Environments(
            settings.environments, settings.sources, find_uv(), settings.environment
        )
        self._backend = make_backend(settings, self._environments, self.metrics.asked_cluster)
        self._patience = Patience(settings.heartbeat_timeout_seconds, settings.cancel_grace_seconds)
        self._warm = WarmPool(
            self.store.instances,
            self._backend,
            self.catalog,
            settings.jobs,
            settings.runtime,
            settings.instance_start_seconds,
            self._patience.worker_seconds,
        )
        self.metrics.observe(
            lambda: self._backend.capacity().gpus,
            lambda: shutil.disk_usage(settings.workspace).free,
            lambda: self.callers.active,
        )
        self.reconciler = self._make_reconciler()
        self._listening: Listening | None = None

    def start(self) -> str:
        """Serve, and return the address."""
        if self._settings.metrics_port is not None:
            port = self.metrics.serve(self._settings.metrics_port)
            log.info("metrics are served", extra={"port": port})
        open_jobs = {job.id for job in self.store.jobs.open_jobs()}
        self._registry.sweep(open_jobs)
        threading.Thread(target=self.reconciler.run, name="reconcile", daemon=True).start()
        self._listening = listen(
            self._settings.address,
            self._servicers(),
            interceptors=[self.callers, self._authentication],
            translate=translate,
            credentials=self._certificate.credentials() if self._certificate else None,
        )
        log.info("serving on %s", self._listening.address)
        _announce(self._listening.address)
        return self._listening.address

    def wait(self, ending: Ending) -> None:
        """Wait until it is to stop, or has been idle for as long as it was told.

        Raises
        ------
        WorkspaceBusyError
            Another orchestrator works on the store now: this one was away from it for too long.
        """
        limit = self._settings.exit_when_idle_seconds
        since = time.monotonic()
        while not ending.wait(1.0 if limit is None else min(1.0, limit / 4)):
            if self.store.lost.is_set():
                raise WorkspaceBusyError("another orchestrator has taken the store over")
            if limit is None:
                continue
            since = max(since, self.callers.last_call)
            if self.callers.present or not self.reconciler.idle:
                since = time.monotonic()
            if time.monotonic() - since >= limit:
                log.info("nobody called for %g s and no job is open: this is the end", limit)
                return

    def close(self) -> None:
        """Stop serving; running jobs go on, and the next orchestrator finds them."""
        if self._listening is not None:
            self._listening.health.enter_graceful_shutdown()
            self._listening.server.stop(_LAST_CALLS_SECONDS).wait()
        self.reconciler.stop()
        self._warm.close()
        path = socket_path(self._settings.address)
        if path:
            Path(path).unlink(missing_ok=True)
        # The workspace's lock goes with the process: until then, threads of jobs may still write there.

    def _artifacts_of(self, job_id: str) -> Path:
        if not NAME.fullmatch(job_id):
            raise KeyError(job_id)
        return self._settings.jobs / job_id / ARTIFACTS

    def _sdk_environment(self) -> SdkEnvironment:
        given = self._settings.sdk_python
        return self._environments if given is None else GivenEnvironment(given)

    def _make_reconciler(self) -> Reconciler:
        settings = self._settings
        briefing = Briefing(
            self.store.jobs, self._registry, self.catalog, self._locations, settings.jobs
        )
        settlement = Settlement(self.store.jobs, self._registry, briefing, self.metrics)
        attempts = Attempts(
            store=self.store,
            backend=self._backend,
            catalog=self.catalog,
            briefing=briefing,
            data_check=DataCheck(self._sdk_environment(), settings.environment),
            dialler=Dialler(),
            settlement=settlement,
            patience=self._patience,
            start_seconds=settings.instance_start_seconds,
            meter=self.metrics,
            placed=self._warm.wake.set,
        )
        limits = Limits(
            warm_idle_seconds=settings.warm_idle_seconds,
            warm_instances=settings.warm_instances,
            projects=settings.projects,
        )
        return Reconciler(
            self.store,
            self._backend,
            self.catalog,
            attempts,
            settlement,
            self._warm,
            limits,
            passed=self.metrics.passed,
        )

    def _servicers(self) -> dict[object, object]:
        settings = self._settings
        wake = self.reconciler.wake
        capacity = self._backend.capacity
        folders = JobFolders(self.store.jobs, settings.jobs)
        room = Room(
            settings.workspace,
            settings.disk_reserve_bytes,
            Limits(projects=settings.projects).of_project,
            DiskUse(self.store, settings.jobs).of,
        )
        admission = Admission(
            self.catalog,
            self.store.jobs,
            folders,
            self._registry,
            self._locations,
            capacity,
            room,
        )
        data = DataApi(
            self._locations,
            settings.upload_limit_bytes,
            settings.disk_reserve_bytes,
            self._uses.of_place,
        )
        jobs = JobApi(self.store.jobs, folders, room, wake, self._uses.of_job)
        catalog = CatalogApi(self.catalog, self.store, capacity, self.reconciler.explain)
        models = ModelApi(self._registry, self._uses.of_model)
        maintenance = self._make_maintenance(data, folders)
        return {
            add_NetworkServiceServicer_to_server: NetworkApi(
                admission, self._warm, wake, self._authentication.identify
            ),
            add_JobServiceServicer_to_server: jobs,
            add_CatalogServiceServicer_to_server: catalog,
            add_DataServiceServicer_to_server: data,
            add_ModelServiceServicer_to_server: models,
            add_MaintenanceServiceServicer_to_server: maintenance,
        }

    def _make_maintenance(self, data: DataApi, folders: JobFolders) -> MaintenanceApi:
        settings = self._settings
        environments, capacity = self._environments, self._backend.capacity
        services = [
            ServiceSpec(each.name, each.folder, each.python_versions)
            for each in self.catalog.services()
        ]
        inventory = Inventory(
            settings,
            self.store,
            folders,
            self._uses,
            lambda: environments.wanted(services),
            data.is_busy,
        )
        examination = Examination(
            settings,
            self.store,
            self.catalog,
            services,
            capacity,
            lambda service: environments.place_of(service, gpu=bool(capacity().gpus)),
            inventory,
            lambda: self._listening.address if self._listening else settings.address,
            self.metrics,
        )
        return MaintenanceApi(inventory, settings.retention, examination)


def run(settings: Settings) -> None:
    """Serve until SIGTERM, SIGINT, or the end of all work."""
    ending = Ending()
    ending.come_by_signals()
    app = App(settings)
    try:
        app.start()
        app.wait(ending)
    finally:
        app.close()


def _announce(address: str) -> None:
    """Tell whoever started this process where it listens: a line of JSON on standard output."""
    sys.stdout.write(json.dumps({"address": address}) + "\n")
    sys.stdout.flush()


def _lock(store: Path | None) -> TextIO | None:
    """Keep a second orchestrator from a store in a file; the lock goes with our process, whatever ends it.

    A database server locks by itself, and where there is one, the workspace may lie where locks of files do not hold.
    """
    if store is None:
        return None
    store.parent.mkdir(parents=True, exist_ok=True)
    # Python opens files so that the processes which we start do not inherit them, nor this lock.
    file = (store.parent / "orchestrator.lock").open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise WorkspaceBusyError(f"another orchestrator works in {store.parent}") from error
    return file


def _certificate(settings: Settings) -> Certificate | None:
    if settings.certificate is None or settings.key is None:
        return None
    return Certificate(settings.certificate, settings.key)


def _offered(settings: Settings) -> list[Service]:
    """Read the services; where instances are made of images, those that have one: no other could ever run."""
    found = _read_services(settings.services)
    for flag, named in (("images", settings.images), ("warm-instances", settings.warm_instances)):
        for name in sorted(set(named) - {each.name for each in found}):
            log.error("--%s names %s; no such service in %s", flag, name, settings.services)
    if settings.backend is BackendKind.LOCAL:
        return found
    return [each for each in found if each.name in settings.images]


def _read_services(folder: Path) -> list[Service]:
    """Read what can be read: one broken manifest does not take the other networks away."""
    services = []
    for manifest in sorted(folder.glob("*/service.yaml")):
        try:
            services.append(read_service(manifest.parent))
        except ManifestError as error:
            log.error("the service %s is left out: %s", manifest.parent.name, error)
    return services
