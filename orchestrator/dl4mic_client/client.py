# SPDX-License-Identifier: BSD-3-Clause
"""The client: every service of the contract as plain, synchronous calls."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from dl4mic.v1 import catalog_pb2, job_pb2, network_pb2, request_pb2
from dl4mic_client import address as addresses
from dl4mic_client import parameters as typed
from dl4mic_client import transfer
from dl4mic_client.access import Access
from dl4mic_client.connection import Connection
from dl4mic_client.errors import Unreachable
from dl4mic_client.job import Job
from dl4mic_client.maintenance_calls import MaintenanceCalls
from dl4mic_client.parameters import Plain
from dl4mic_client.quality_calls import QualityCalls
from dl4mic_client.references import model_reference, network_of
from dl4mic_client.requests import Device, JobOptions, device_value, new_job_id
from dl4mic_client.run import Run, send

if TYPE_CHECKING:
    import numpy.typing as npt

    from dl4mic_client.pixels import ImagePrediction

Place = str | os.PathLike[str]
"""A folder or file on this machine, or a location on the server, e.g. ``job:ID/predictions``."""

_NO_OPTIONS = JobOptions()
_IMAGE_TIMEOUT_SECONDS = 3600.0


def connect(server: str | None = None) -> Client:
    """Connect to a server.

    Parameters
    ----------
    server : str, optional
        "HOST:PORT" or "unix:///path". Without it the environment's DL4MIC_SERVER counts, and
        without that this user's embedded orchestrator, which is started if it does not run. To
        another machine it is DL4MIC_TOKEN (or DL4MIC_TOKEN_FILE) that says who calls, and
        DL4MIC_CA that names the file of the authority for its certificate.

    Raises
    ------
    Refused
        The text is no address, or the token would go there unencrypted.
    Unreachable
        The embedded orchestrator cannot be started.
    """
    text = server or os.environ.get("DL4MIC_SERVER", "")
    if text:
        return Client(Connection(addresses.parse(text), access=Access.of_environment()))
    if sys.platform == "win32":
        raise Unreachable("An embedded server needs Linux or macOS.", "Name a server by --server.")
    from dl4mic_client.embedded import Embedded

    embedded = Embedded.of_environment()
    embedded.ensure()
    return Client(Connection(embedded.address, revive=embedded.ensure), embedded.workspace)


class Client(QualityCalls, MaintenanceCalls):
    """Calls to one server; make it with `connect`. It is a context manager.

    Parameters
    ----------
    connection : Connection
        The server.
    workspace : Path, optional
        Where the server keeps its files, if it is this user's embedded one.

    Notes
    -----
    Places (`source`, `target` ...) are folders or files on this machine, or locations on the
    server: "ROOT:PATH", "job:ID/predictions". A server on the same machine, reached by its Unix
    socket, reads local folders where they lie; another is sent them first.

    A network's parameters are given by name, after the rest: ``epochs=100, grid=[2, 2]``; one
    whose name is taken by an argument goes into `parameters`.
    """

    def __init__(self, connection: Connection, workspace: Path | None = None) -> None:
        self._connection = connection
        self.workspace = workspace
        self.report: transfer.Report | None = None
        """Told how far the transfer of files is, where one is needed."""

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; jobs go on."""
        self._connection.close()

    @property
    def server(self) -> str:
        """Address of the server."""
        return str(self._connection.address)

    def train(
        self,
        network: str,
        *,
        source: Place,
        model: str,
        target: Place | None = None,
        validation_source: Place | None = None,
        validation_target: Place | None = None,
        axes: str = "",
        class_names: Sequence[str] = (),
        preset: str = "",
        parent: Place | None = None,
        weights: str | int = "",
        dry_run: bool = False,
        options: JobOptions = _NO_OPTIONS,
        parameters: Mapping[str, Plain] | None = None,
        **more: Plain,
    ) -> Job:
        """Train a network; returns the job as soon as the server has accepted it.

        Parameters
        ----------
        network : str
            Name of the network; may be empty at a service that has only one.
        source, target : str or path
            Images, and their targets where the network learns from targets; paired by file name.
        model : str
            Name of the model to make; its version is the next free one.
        validation_source, validation_target : str or path, optional
            Images to validate on; without them a part of `source` is held out.
        axes, class_names : str and sequence of str, optional
            Axes of every file, slowest first ("ZYX"), where files do not say; names of classes.
        parent : str or path, optional
            Start from this model; `weights` says from which of its weights.
        dry_run : bool
            Only try a few steps: the job makes no model, but "dry-run.json", which says what would
            be trained and what it would take.
        options : JobOptions, optional
            Name, project, priority, device ... of the job.
        preset, parameters, **more
            Name of a preset of the network, and values that differ from it.

        Raises
        ------
        Refused
            Naming each field at fault, what is wrong with it, and what would be right.
        """
        request = request_pb2.TrainRequest(
            network=network,
            options=options.message(new_job_id("train", model)),
            data=self._dataset("data", source, target, axes, class_names),
            model=model,
            preset=preset,
            parameters=typed.from_python({**(parameters or {}), **more}),
            dry_run=dry_run,
        )
        if validation_source is not None:
            request.validation.CopyFrom(
                self._dataset("validation", validation_source, validation_target, axes, class_names)
            )
        if parent is not None:
            request.parent.CopyFrom(model_reference(self._connection, parent, weights))
        return self._job(self._connection.call(self._connection.networks.Train, request))

    def predict(
        self,
        model: Place,
        *,
        source: Place,
        network: str = "",
        axes: str = "",
        weights: str | int = "",
        options: JobOptions = _NO_OPTIONS,
        parameters: Mapping[str, Plain] | None = None,
        **more: Plain,
    ) -> Job:
        """Apply a model, with one set of weights, to a folder of images; the rest as in `qc`."""
        request = request_pb2.PredictRequest(
            network=network or network_of(self._connection, model),
            options=options.message(new_job_id("predict", Path(model).name)),
            model=model_reference(self._connection, model, weights),
            data=self._dataset("data", source, None, axes, ()),
            parameters=typed.from_python({**(parameters or {}), **more}),
        )
        return self._job(self._connection.call(self._connection.networks.Predict, request))

    def run(
        self,
        network: str,
        *,
        source: Place,
        target: Place | None = None,
        test_source: Place | None = None,
        test_target: Place | None = None,
        predict: Place | None = None,
        model: str = "",
        axes: str = "",
        preset: str = "",
        parent: Place | None = None,
        weights: str | int = "",
        options: JobOptions = _NO_OPTIONS,
        parameters: Mapping[str, Plain] | None = None,
        **more: Plain,
    ) -> Run:
        """Train a model, score it and apply it, in one go; arguments and errors as in `train`.

        Parameters
        ----------
        test_source, test_target : str or path, optional
            Images whose truth is known, and that truth; without them nothing is scored.
        predict : str or path, optional
            Images to apply the model to.
        model : str, optional
            Name of the model to make; else that of the network.
        options : JobOptions, optional
            Of all three; the id has the verb put behind it: "ID-train", "ID-qc", "ID-predict".
        parameters, **more
            Each goes to every job that reads it.
        """
        described = self.network(network)
        given = {**(parameters or {}), **more}
        # All files are sent before the first job is, so that none waits for another one's.
        images = {
            "train": self._dataset("data", source, target, axes, ()),
            "qc": self._dataset("test", test_source, test_target, axes, ()),
            "predict": self._dataset("predict", predict, None, axes, ()),
        }
        return send(
            self,
            described.name,
            model or described.name,
            images,
            options=options,
            parameters=typed.by_verb(given, described, ("train", "qc", "predict")),
            preset=preset,
            parent=parent,
            weights=weights,
        )

    def predict_image(
        self,
        image: npt.ArrayLike,
        *,
        axes: str,
        model: Place,
        network: str = "",
        pixel_size: Mapping[str, float] | None = None,
        weights: str | int = "",
        device: Device = "auto",
        parameters: Mapping[str, Plain] | None = None,
        **more: Plain,
    ) -> ImagePrediction:
        """Apply a model to one image in memory, and wait for the answer.

        Parameters
        ----------
        image : array_like
            Pixels, of any plain number type; its dimensions are named by `axes`.
        axes : str
            Slowest first, of T, C, Z, Y, X: "YX", "ZYX".
        pixel_size : mapping of str to float, optional
            Micrometres per pixel by axis letter.

        Returns
        -------
        ImagePrediction
        """
        from dl4mic_client import pixels

        array = pixels.as_array(image)
        header = network_pb2.PredictImageRequest.Header(
            network=network or network_of(self._connection, model),
            model=model_reference(self._connection, model, weights),
            parameters=typed.from_python({**(parameters or {}), **more}),
            image=pixels.image_header(array, axes, pixel_size or {}),
            device=device_value(device),
        )
        with self._connection.translated():
            answers = self._connection.networks.PredictImage(
                pixels.to_messages(header, array), timeout=_IMAGE_TIMEOUT_SECONDS
            )
            return pixels.from_messages(answers)

    def job(self, job_id: str) -> Job:
        """Return a job by its id."""
        request = job_pb2.GetJobRequest(job_id=job_id)
        return self._job(self._connection.call(self._connection.jobs.GetJob, request))

    def jobs(
        self,
        *,
        states: Iterable[str] = (),
        network: str = "",
        project: str = "",
        labels: Mapping[str, str] | None = None,
        limit: int | None = None,
    ) -> list[Job]:
        """Return jobs, newest first; each filter that is given narrows the list."""
        request = job_pb2.ListJobsRequest(
            states=[each.upper() for each in states],
            network=network,
            project=project,
            labels=labels or {},
            page_size=min(limit or 0, 1000),
        )
        found = self._connection.listed(self._connection.jobs.ListJobs, request, "jobs")
        return [self._job(each) for each in islice(found, limit)]

    def nodes(self) -> list[catalog_pb2.Node]:
        """Return what jobs run on."""
        request = catalog_pb2.ListNodesRequest()
        method = self._connection.catalog.ListNodes
        return list(self._connection.listed(method, request, "nodes"))

    def instances(self) -> list[catalog_pb2.Instance]:
        """Return the services that run now."""
        request = catalog_pb2.ListInstancesRequest()
        method = self._connection.catalog.ListInstances
        return list(self._connection.listed(method, request, "instances"))

    def _job(self, record: job_pb2.Job) -> Job:
        return Job(self._connection, record)
