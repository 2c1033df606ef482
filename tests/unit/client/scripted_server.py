# SPDX-License-Identifier: BSD-3-Clause
"""A server of the contract that says what a test tells it to, and remembers what it was asked."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import grpc

from dl4mic import check, clock, fold, server
from dl4mic.v1 import (
    catalog_pb2,
    catalog_pb2_grpc,
    data_pb2,
    data_pb2_grpc,
    job_pb2,
    job_pb2_grpc,
    maintenance_pb2,
    maintenance_pb2_grpc,
    model_pb2,
    model_pb2_grpc,
    network_pb2,
    network_pb2_grpc,
    parameter_pb2,
)

Parameter = parameter_pb2.Parameter
Value = parameter_pb2.ParameterValue

NETWORK = network_pb2.Network(
    name="mock",
    title="A mock",
    summary="Pretends.",
    service="mock",
    version="1.2.3",
    task="instance segmentation",
    supervision=data_pb2.Dataset.LABEL_IMAGES,
    axes=["YX"],
    parameters=[
        Parameter(
            name="epochs",
            type=Parameter.INTEGER,
            default_value=Value(integer=10),
            minimum=1,
            maximum=100,
            help="How often.",
            verbs=[Parameter.TRAIN],
        ),
        Parameter(
            name="rate", type=Parameter.NUMBER, minimum=0, advanced=True, verbs=[Parameter.TRAIN]
        ),
        Parameter(name="augment", type=Parameter.BOOLEAN, verbs=[Parameter.TRAIN]),
        Parameter(
            name="loss",
            type=Parameter.TEXT,
            choices=[Value(text="mae"), Value(text="mse")],
            verbs=[Parameter.TRAIN],
        ),
        Parameter(
            name="grid",
            type=Parameter.LIST,
            element_type=Parameter.INTEGER,
            minimum_length=2,
            maximum_length=2,
            verbs=[Parameter.TRAIN],
        ),
        Parameter(name="smallest", type=Parameter.INTEGER, verbs=[Parameter.PREDICT]),
        Parameter(
            name="channel",
            type=Parameter.INTEGER,
            verbs=[Parameter.TRAIN, Parameter.QC, Parameter.PREDICT],
        ),
    ],
    presets=[
        parameter_pb2.Preset(name="default", help="Good for most."),
        parameter_pb2.Preset(name="quick", help="Soon done."),
    ],
    model_formats=[network_pb2.ModelFormat(name="plain", imported=True, exported=True)],
)

CUT = server.RpcError(grpc.StatusCode.UNAVAILABLE, "Socket closed", "CUT")


def state(name: str, **more: object) -> job_pb2.JobEvent:
    """Make the event of a change of state."""
    change = job_pb2.StateChange(state=name, **more)
    return job_pb2.JobEvent(state=change)


def progress(done: float, total: float = 10, **more: object) -> job_pb2.JobEvent:
    """Make an event of progress."""
    message = job_pb2.Progress(phase="training", done=done, total=total, unit="epochs", **more)
    return job_pb2.JobEvent(progress=message)


def metric(name: str, value: float) -> job_pb2.JobEvent:
    """Make the event of a metric."""
    return job_pb2.JobEvent(metric=job_pb2.Metric(name=name, value=value))


class ScriptedServer:
    """Serves on a Unix socket and on TCP at once.

    Attributes
    ----------
    requests
        For jobs, as they came.
    script
        Events of every job that is submitted; their numbers and times are filled in.
    going_down
        So many calls of GetJob meet the server's end, as a server that stops answers them.
    cuts
        A watcher's connection is cut after so many events, once for each entry.
    files
        Content by location.
    unfinished
        What has arrived of uploads that are not whole.
    damage
        What is sent does not fit its checksum or shape.
    removals
        What a clean-up would delete, and does when it is asked to; `cleans` are the requests.
    findings
        Of the diagnosis.
    put_cuts
        An upload is cut after so many of its chunks, once for each entry.
    refuse_verb
        Jobs of this verb are refused.
    hold
        Watchers wait for the end of the job, as they do at a real server.
    """

    def __init__(self, socket: Path, *, alone: bool = False) -> None:
        self.requests: list[check.Request] = []
        self.script = [state("PENDING"), state("RUNNING"), progress(10), state("SUCCEEDED")]
        self.going_down = 0
        self.cuts: list[int] = []
        self.watched_from: list[int] = []
        self.files: dict[str, bytes] = {}
        self.unfinished: dict[str, bytes] = {}
        self.uploads: list[data_pb2.PutDataRequest.Header] = []
        self.jobs: dict[str, job_pb2.Job] = {}
        self.events: dict[str, list[job_pb2.JobEvent]] = {}
        self.models: dict[str, model_pb2.Model] = {}
        self.removals: list[maintenance_pb2.Removal] = []
        self.cleans: list[maintenance_pb2.CleanRequest] = []
        self.findings: list[maintenance_pb2.Finding] = []
        self.clock_ahead_seconds = 0.0
        self.log = ""
        self.put_cuts: list[int] = []
        self.damage = False
        self.hold = False
        self.refuse_verb = ""
        self.stopping = threading.Event()
        servicers = {
            network_pb2_grpc.add_NetworkServiceServicer_to_server: _Networks(self),
            job_pb2_grpc.add_JobServiceServicer_to_server: _Jobs(self),
            data_pb2_grpc.add_DataServiceServicer_to_server: _Data(self),
        }
        if not alone:
            servicers[model_pb2_grpc.add_ModelServiceServicer_to_server] = _Models(self)
            servicers[maintenance_pb2_grpc.add_MaintenanceServiceServicer_to_server] = _Maintenance(
                self
            )
            servicers[catalog_pb2_grpc.add_CatalogServiceServicer_to_server] = _Catalog()
        self._near = server.listen(f"unix://{socket}", servicers, workers=8)
        self._far = server.listen("localhost:0", servicers, workers=8)
        self.unix, self.tcp = self._near.address, self._far.address

    def stop(self) -> None:
        """Stop serving."""
        self.stopping.set()
        self._near.server.stop(None)
        self._far.server.stop(None)

    def submit(self, verb: str, request: check.Request) -> job_pb2.Job:
        """Take a request as a real server does, and let the script be its job's life."""
        check.check_request(request, NETWORK)
        if verb == self.refuse_verb:
            raise check.Refused([check.Violation("data.source", "is not there")])
        self.requests.append(request)
        job = job_pb2.Job(id=request.options.job_id, network=request.network)
        getattr(job, verb).CopyFrom(request)
        job.create_time.FromSeconds(1_000)
        self.jobs[job.id] = job
        self.events[job.id] = []
        accepted = job_pb2.Job()
        accepted.CopyFrom(job)
        for event in self.script:
            self.happen(job.id, event)
        accepted.state = job_pb2.Job.PENDING
        return accepted

    def happen(self, job_id: str, event: job_pb2.JobEvent) -> None:
        """Add an event to a job, a second after the one before."""
        numbered = job_pb2.JobEvent()
        numbered.CopyFrom(event)
        numbered.sequence = len(self.events[job_id]) + 1
        numbered.attempt = numbered.attempt or 1
        numbered.time.FromSeconds(1_000 + numbered.sequence)
        self.events[job_id].append(numbered)
        fold.apply(self.jobs[job_id], numbered)

    def job(self, job_id: str) -> job_pb2.Job:
        """Find a job."""
        if job_id not in self.jobs:
            raise server.not_found(f"there is no job {job_id!r}", "JOB_NOT_FOUND")
        return self.jobs[job_id]


class _Networks(network_pb2_grpc.NetworkServiceServicer):
    def __init__(self, scripted: ScriptedServer) -> None:
        self._scripted = scripted

    def Describe(self, request, context):
        if request.network not in ("", NETWORK.name):
            raise server.not_found("there is no such network", "NETWORK_NOT_FOUND", "Use mock.")
        return NETWORK

    def Train(self, request, context):
        return self._scripted.submit("train", request)

    def Qc(self, request, context):
        return self._scripted.submit("qc", request)

    def Predict(self, request, context):
        return self._scripted.submit("predict", request)

    def ImportModel(self, request, context):
        return self._scripted.submit("import_model", request)

    def ExportModel(self, request, context):
        return self._scripted.submit("export_model", request)

    def PredictImage(self, requests, context):
        """Answer with the image itself, once more as a second image, and a table."""
        header, content = None, b""
        for each in requests:
            header = each.header if each.HasField("header") else header
            content += each.chunk
        for title in ("label image", "probability"):
            answer = network_pb2.PredictImageResponse.Header(title=title, image=header.image)
            yield network_pb2.PredictImageResponse(header=answer)
            sent = content[:-1] if self._scripted.damage else content
            for start in range(0, len(sent), 1 << 20):
                yield network_pb2.PredictImageResponse(chunk=sent[start : start + (1 << 20)])
        table = network_pb2.PredictImageResponse.Table(title="objects", csv="label,area\n1,5\n")
        yield network_pb2.PredictImageResponse(table=table)


class _Jobs(job_pb2_grpc.JobServiceServicer):
    def __init__(self, scripted: ScriptedServer) -> None:
        self._scripted = scripted

    def GetJob(self, request, context):
        if self._scripted.going_down:
            self._scripted.going_down -= 1
            raise server.RpcError(grpc.StatusCode.CANCELLED, "CANCELLED", "GOING_DOWN")
        return self._scripted.job(request.job_id)

    def ListJobs(self, request, context):
        """Give one job a page, to see that all pages are asked for."""
        jobs = [
            each
            for each in reversed(list(self._scripted.jobs.values()))
            if not request.states or each.state in request.states
        ]
        at = int(request.page_token or 0)
        more = str(at + 1) if at + 1 < len(jobs) else ""
        return job_pb2.ListJobsResponse(jobs=jobs[at : at + 1], next_page_token=more)

    def WatchJob(self, request, context):
        self._scripted.job(request.job_id)
        self._scripted.watched_from.append(request.after_sequence)
        cut = self._scripted.cuts.pop(0) if self._scripted.cuts else None
        for sent, event in enumerate(
            self._scripted.events[request.job_id][request.after_sequence :]
        ):
            if sent == cut:
                raise CUT
            yield event
        yield from self._later(request.job_id, len(self._scripted.events[request.job_id]))

    def _later(self, job_id: str, seen: int) -> Iterator[job_pb2.JobEvent]:
        job, events = self._scripted.jobs[job_id], self._scripted.events[job_id]
        while self._scripted.hold and not self._scripted.stopping.wait(0.02):
            yield from events[seen:]
            seen = len(events)
            if fold.has_ended(job):
                return

    def ReadLog(self, request, context):
        text = self._scripted.log[request.offset : request.offset + 4]
        end = request.offset + len(text)
        return job_pb2.ReadLogResponse(text=text, next_offset=end, complete=True)

    def CancelJob(self, request, context):
        job = self._scripted.job(request.job_id)
        if not fold.has_ended(job):
            self._scripted.happen(job.id, state("CANCELLED", error={"code": "CANCELLED"}))
        return job

    def RetryJob(self, request, context):
        job = self._scripted.job(request.job_id)
        again = state("PENDING")
        again.attempt = job.attempt + 1
        self._scripted.happen(job.id, again)
        return job

    def DeleteJob(self, request, context):
        self._scripted.job(request.job_id)
        del self._scripted.jobs[request.job_id]
        return job_pb2.DeleteJobResponse(freed_bytes=2048)


class _Maintenance(maintenance_pb2_grpc.MaintenanceServiceServicer):
    def __init__(self, scripted: ScriptedServer) -> None:
        self._scripted = scripted

    def Clean(self, request, context):
        self._scripted.cleans.append(request)
        found = list(self._scripted.removals)
        if not request.dry_run:
            self._scripted.removals.clear()
        return maintenance_pb2.CleanResponse(
            removals=found,
            removal_count=len(found),
            freed_bytes=sum(each.size for each in found),
        )

    def Diagnose(self, request, context):
        now = time.time() + self._scripted.clock_ahead_seconds
        context.set_trailing_metadata((clock.header(now),))
        return maintenance_pb2.DiagnoseResponse(findings=self._scripted.findings)


class _Data(data_pb2_grpc.DataServiceServicer):
    def __init__(self, scripted: ScriptedServer) -> None:
        self._scripted = scripted

    def ListData(self, request, context):
        """Give one file a page."""
        found = [(name, content, True) for name, content in self._scripted.files.items()]
        found += [(name, part, False) for name, part in self._scripted.unfinished.items()]
        found = sorted(each for each in found if each[0].startswith(request.location))
        if not found:
            raise server.not_found(f"nothing at {request.location}", "DATA_NOT_FOUND")
        at = int(request.page_token or 0)
        name, content, complete = found[at]
        sha256 = hashlib.sha256(content).hexdigest() if request.with_sha256 else ""
        entry = data_pb2.DataEntry(
            location=name, size=len(content), sha256=sha256, complete=complete
        )
        more = str(at + 1) if at + 1 < len(found) else ""
        return data_pb2.ListDataResponse(entries=[entry], next_page_token=more)

    def PutData(self, requests, context):
        header = next(requests).header
        self._scripted.uploads.append(header)
        content = self._scripted.unfinished.pop(header.location, b"")[: header.offset]
        cut = self._scripted.put_cuts.pop(0) if self._scripted.put_cuts else None
        for number, each in enumerate(requests):
            if number == cut:
                self._scripted.unfinished[header.location] = content
                raise CUT
            assert len(each.chunk) <= server.CHUNK_BYTES
            content += each.chunk
        assert (len(content), hashlib.sha256(content).hexdigest()) == (header.size, header.sha256)
        self._scripted.files[header.location] = content
        return data_pb2.PutDataResponse()

    def GetData(self, request, context):
        content = self._scripted.files[request.location]
        yield data_pb2.GetDataResponse(header=data_pb2.GetDataResponse.Header(size=len(content)))
        cut = self._scripted.cuts.pop(0) if self._scripted.cuts else None
        rest = content[request.offset :]
        for number, start in enumerate(range(0, len(rest), 4)):
            if number == cut:
                raise CUT
            yield data_pb2.GetDataResponse(chunk=rest[start : start + 4])
        sent = rest + b"!" if self._scripted.damage else rest
        yield data_pb2.GetDataResponse(sha256=hashlib.sha256(sent).hexdigest())

    def DeleteData(self, request, context):
        gone = [name for name in self._scripted.files if name.startswith(request.location)]
        freed = sum(len(self._scripted.files.pop(name)) for name in gone)
        return data_pb2.DeleteDataResponse(deleted_files=len(gone), freed_bytes=freed)


class _Models(model_pb2_grpc.ModelServiceServicer):
    def __init__(self, scripted: ScriptedServer) -> None:
        self._scripted = scripted

    def GetModel(self, request, context):
        if request.model not in self._scripted.models:
            raise server.not_found(f"there is no model {request.model!r}", "MODEL_NOT_FOUND")
        return self._scripted.models[request.model]

    def ListModels(self, request, context):
        return model_pb2.ListModelsResponse(models=self._scripted.models.values())

    def SetModelAlias(self, request, context):
        model = self.GetModel(model_pb2.GetModelRequest(model=request.model), context)
        model.aliases.append(request.alias)
        return model

    def DeleteModel(self, request, context):
        del self._scripted.models[request.model]
        return model_pb2.DeleteModelResponse(freed_bytes=1000)


class _Catalog(catalog_pb2_grpc.CatalogServiceServicer):
    def ListNetworks(self, request, context):
        return catalog_pb2.ListNetworksResponse(networks=[NETWORK])

    def ListNodes(self, request, context):
        node = catalog_pb2.Node(name="here", gpus=1, cpus=8, free_cpus=6, memory_bytes=1 << 34)
        return catalog_pb2.ListNodesResponse(nodes=[node])

    def ListInstances(self, request, context):
        instance = catalog_pb2.Instance(id="i1", service="mock", state="BUSY", job_id="a1")
        return catalog_pb2.ListInstancesResponse(instances=[instance])

    def ExplainJob(self, request, context):
        return catalog_pb2.ExplainJobResponse(reason="2 CPUs are needed", jobs_ahead=3)
