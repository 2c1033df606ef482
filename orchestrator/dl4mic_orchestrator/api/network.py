# SPDX-License-Identifier: BSD-3-Clause
"""Take requests: check them, write the job down, answer. And hand single images to warm instances."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import grpc

from dl4mic import references
from dl4mic.check import Request, check_predict, check_request, verb_word
from dl4mic.contradictions import check_contradictions
from dl4mic.image_header import check_image, in_header
from dl4mic.locations import Locations, refuse
from dl4mic.server import RpcError, is_local
from dl4mic.v1.data_pb2 import ModelReference
from dl4mic.v1.job_pb2 import Job
from dl4mic.v1.network_pb2 import (
    ComputeDevice,
    DescribeRequest,
    Network,
    PredictImageRequest,
    PredictImageResponse,
)
from dl4mic.v1.network_pb2_grpc import NetworkServiceServicer, NetworkServiceStub
from dl4mic.v1.request_pb2 import (
    ExportModelRequest,
    ImportModelRequest,
    JobOptions,
    PredictRequest,
    QcRequest,
    TrainRequest,
)
from dl4mic_orchestrator.api.errors import relayed
from dl4mic_orchestrator.api.room import Room
from dl4mic_orchestrator.catalog import Catalog
from dl4mic_orchestrator.front.tokens import Identity
from dl4mic_orchestrator.records import Capacity, Device, Model, WarmKey
from dl4mic_orchestrator.registry import Registry
from dl4mic_orchestrator.store.jobs import JobNotFoundError, JobStore
from dl4mic_orchestrator.store.models import ModelNotFoundError
from dl4mic_orchestrator.trash import JobFolders

Identify = Callable[[grpc.ServicerContext], Identity]
"""Tells who calls."""

_WARM_WAIT_SECONDS = 600.0
_MODEL_NAME = "header.model.name"
_ANYWHERE = "/"
"""Stands for the images' location, which single images have none of."""


class WarmInstances(Protocol):
    """Lends warm instances."""

    def holds(self, key: WarmKey) -> bool:
        """Say whether one has read the model already."""

    def lease(
        self, key: WarmKey, timeout_seconds: float
    ) -> AbstractContextManager[NetworkServiceStub]:
        """Hold one for a call; raise an exception in words when none can be had."""


@dataclass(frozen=True)
class Admission:
    """Decides whether a request becomes a job.

    Attributes
    ----------
    room
        For a new job.
    """

    catalog: Catalog
    jobs: JobStore
    folders: JobFolders
    registry: Registry
    locations: Locations
    capacity: Callable[[], Capacity]
    room: Room

    def admit(self, request: Request, *, local: bool, caller: Identity) -> Job:
        """Check a request and record its job; repeating it returns the same job.

        Raises
        ------
        dl4mic.check.Refused
            With each field at fault.
        """
        network = self.catalog.network(request.network)
        check_request(request, network)
        record = self.catalog.service(network.name).records[network.name]
        check_contradictions(request, network, record["parameters"])
        job = _job_of(request, network.name, caller)
        if not self.jobs.knows(job.id):
            most_open = self.room.check(job.project)
            self.check_device(request, network)
            needed = self._needed(request)
            pinned = dict(self.pin(request, network.name, local=local))
            self._check_paths(request, local=local)
            # Were it there still, what a deleted job of this id made would pass for this one's.
            self.folders.put_aside(job.id)
            return self.jobs.create(job, needed, pinned, most_open)
        return self.jobs.create(job)

    def pin(self, request: Request, network: str, *, local: bool) -> Iterator[tuple[str, str]]:
        """Yield (reference, ``NAME:VERSION``) for each registered model: what "latest" means is decided now."""
        for field, model in references.models(request):
            tag = self.tag(field, model, network, local=local)
            if tag:
                yield model.name, tag

    def tag(self, field: str, model: ModelReference, network: str, *, local: bool) -> str:
        """Give ``NAME:VERSION`` of a reference; empty for a folder, or what a job is still to make."""
        if self.locations.is_location(model.name):
            self._check_path(f"{field}.name", model.name, local=local)
            return ""
        if model.name.startswith(references.JOB_PREFIX):
            self._check_trains(field, model.name.removeprefix(references.JOB_PREFIX), network)
            return ""
        try:
            found = self.registry.rows.find(model.name)
        except ModelNotFoundError as error:
            raise refuse(f"{field}.name", str(error)) from error
        _check_network(field, found.tag, found.network, network)
        return found.tag

    def _needed(self, request: Request) -> list[str]:
        needed = references.needed_jobs(request)
        known = self.jobs.states({job_id for _, job_id in needed})
        for field, job_id in needed:
            if job_id not in known:
                raise refuse(field, f"there is no job {job_id!r}")
        return sorted({job_id for _, job_id in needed})

    def _check_trains(self, field: str, job_id: str, network: str) -> None:
        try:
            job = self.jobs.message(job_id)
        except JobNotFoundError as error:
            raise refuse(f"{field}.name", str(error)) from error
        if not references.makes_model(job):
            raise refuse(f"{field}.name", f"job {job_id} makes no model")
        _check_network(field, f"of job {job_id}", job.network, network)

    def _check_paths(self, request: Request, *, local: bool) -> None:
        for field, data in references.datasets(request):
            for part, location in (("source", data.source), ("target", data.target)):
                if location:
                    self._check_path(f"{field}.{part}", location, local=local)
        for field, location in references.folders(request):
            self._check_path(field, location, local=local)
        if not isinstance(request, TrainRequest | ImportModelRequest):
            return
        if self.locations.is_location(f"{request.model}:"):
            raise refuse("model", f"{request.model!r} is a data root's name; choose another one")

    def _check_path(self, field: str, location: str, *, local: bool) -> None:
        self.locations.find(location, field, local)

    def check_device(self, request: Request, network: Network) -> None:
        """Refuse a request for a GPU where there is none: it would wait for ever."""
        if request.options.device == JobOptions.GPU and not self.capacity().gpus:
            message = f"{self.capacity().where} has no GPU"
            hint = f"Ask for the device auto or cpu; {network.name} then computes on the CPU."
            raise RpcError(grpc.StatusCode.FAILED_PRECONDITION, message, "NO_GPU", hint)


class NetworkApi(NetworkServiceServicer):
    """The contract's NetworkService over all networks of the catalogue."""

    def __init__(
        self,
        admission: Admission,
        warm: WarmInstances,
        wake: Callable[[], None],
        identify: Identify,
    ) -> None:
        self._admission = admission
        self._warm = warm
        self._wake = wake
        self._identify = identify

    def Describe(self, request: DescribeRequest, context: grpc.ServicerContext) -> Network:
        """Answer with a network's manifest and the devices of this machine."""
        known = self._admission.catalog.network(request.network)
        network = Network()
        network.CopyFrom(known)
        for gpu in self._admission.capacity().gpus:
            network.devices.add(kind=JobOptions.GPU, name=gpu.name, memory_bytes=gpu.memory_bytes)
        memory_bytes = self._admission.capacity().memory_bytes
        network.devices.append(
            ComputeDevice(kind=JobOptions.CPU, name="CPU", memory_bytes=memory_bytes)
        )
        return network

    def Train(self, request: TrainRequest, context: grpc.ServicerContext) -> Job:
        """Take a training."""
        return self._take(request, context)

    def Qc(self, request: QcRequest, context: grpc.ServicerContext) -> Job:
        """Take a quality control."""
        return self._take(request, context)

    def Predict(self, request: PredictRequest, context: grpc.ServicerContext) -> Job:
        """Take the prediction of a folder."""
        return self._take(request, context)

    def ImportModel(self, request: ImportModelRequest, context: grpc.ServicerContext) -> Job:
        """Take the import of a model."""
        return self._take(request, context)

    def ExportModel(self, request: ExportModelRequest, context: grpc.ServicerContext) -> Job:
        """Take the export of a model."""
        return self._take(request, context)

    def PredictImage(
        self, request_iterator: Iterator[PredictImageRequest], context: grpc.ServicerContext
    ) -> Iterator[PredictImageResponse]:
        """Pass one image to a warm instance, chunk by chunk, and its answer back."""
        first = next(request_iterator, PredictImageRequest())
        if not first.HasField("header"):
            raise refuse("header", "must be the first message")
        key = self._warm_key(first.header, local=is_local(context))
        passed = PredictImageRequest()
        passed.CopyFrom(first)
        passed.header.network = key.network
        passed.header.model.location = key.model_folder
        with self._warm.lease(key, _WARM_WAIT_SECONDS) as instance:
            answer = instance.PredictImage(itertools.chain([passed], request_iterator))
            context.add_callback(answer.cancel)
            yield from _relayed(iter(answer))

    def _take(self, request: Request, context: grpc.ServicerContext) -> Job:
        local = is_local(context)
        job = self._admission.admit(request, local=local, caller=self._identify(context))
        self._wake()
        return job

    def _warm_key(self, header: PredictImageRequest.Header, *, local: bool) -> WarmKey:
        network = self._admission.catalog.network(header.network)
        self._check_header(header, network)
        check_image(header.image, network)
        model = self._registered(header.model, network.name, local=local)
        registry = self._admission.registry
        if model is None:
            folder = self._admission.locations.resolve(header.model.name, _MODEL_NAME, local)
        else:
            folder = registry.locate(model)
        weights = header.model.weights or "best"
        device = Device(header.device or JobOptions.AUTO)
        key = WarmKey(network.name, str(folder), weights, device)
        if model is not None and not self._warm.holds(key):
            registry.folder(model)  # is about to be read, so it is checked
        return key

    def _check_header(self, header: PredictImageRequest.Header, network: Network) -> None:
        request = PredictRequest(network=network.name, model=header.model)
        for name, value in header.parameters.items():
            request.parameters[name].CopyFrom(value)
        request.options.device = header.device or JobOptions.AUTO
        request.data.source = _ANYWHERE
        with in_header():
            check_predict(request, network)
            self._admission.check_device(request, network)

    def _registered(self, model: ModelReference, network: str, *, local: bool) -> Model | None:
        """Find a registered model; None for one that is a folder elsewhere."""
        tag = self._admission.tag("header.model", model, network, local=local)
        if not tag and model.name.startswith(references.JOB_PREFIX) and "/" not in model.name:
            job = self._admission.jobs.message(model.name.removeprefix(references.JOB_PREFIX))
            tag = job.model
            if not tag:
                raise refuse(_MODEL_NAME, f"{model.name} has made no model yet")
        return self._admission.registry.rows.find(tag) if tag else None


def _relayed(answer: Iterator[PredictImageResponse]) -> Iterator[PredictImageResponse]:
    """Pass an instance's answer on, and its error with all that it says."""
    try:
        yield from answer
    except grpc.RpcError as error:
        raise relayed(error) from error


def _check_network(field: str, model: str, its_network: str, network: str) -> None:
    if its_network != network:
        words = f"the model {model} was trained by {its_network}, not by {network}"
        raise refuse(f"{field}.name", words)


def _job_of(request: Request, network: str, caller: Identity) -> Job:
    options = request.options
    verb = verb_word(request)
    job = Job(
        id=options.job_id or f"{verb.partition('_')[0]}-{uuid.uuid4().hex[:8]}",
        title=options.title,
        network=network,
        project=_project(options.project, caller),
        caller=caller.name,
        priority=options.priority,
        labels=dict(options.labels.items()),
    )
    getattr(job, verb).CopyFrom(request)
    return job


def _project(asked: str, caller: Identity) -> str:
    """Tell the project of a request: that of the caller, who may name no other."""
    if caller.project and asked not in ("", caller.project):
        words = f"your token is for the project {caller.project}, not {asked}; leave it out"
        raise refuse("options.project", words)
    return asked or caller.project or "default"
