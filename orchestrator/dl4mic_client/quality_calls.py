# SPDX-License-Identifier: BSD-3-Clause
"""The client's calls about quality control: of models, and of predictions that are there already."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from dl4mic.v1 import network_pb2, request_pb2
from dl4mic_client import parameters as typed
from dl4mic_client import transfer
from dl4mic_client.data_calls import DataCalls
from dl4mic_client.errors import NotFound, Refused
from dl4mic_client.job import Job
from dl4mic_client.model_calls import ModelCalls
from dl4mic_client.parameters import Plain
from dl4mic_client.references import model_reference, network_of
from dl4mic_client.requests import JobOptions, new_job_id

_NO_OPTIONS = JobOptions()


class QualityCalls(ModelCalls, DataCalls):
    """The part of a `Client` that is about quality control."""

    def qc(
        self,
        *models: str | os.PathLike[str],
        source: str | os.PathLike[str],
        target: str | os.PathLike[str] | None = None,
        network: str = "",
        axes: str = "",
        class_names: Sequence[str] = (),
        weights: str | int = "",
        options: JobOptions = _NO_OPTIONS,
        parameters: Mapping[str, Plain] | None = None,
        **more: Plain,
    ) -> Job:
        """Score models on images whose truth is known; several are ranked on the same images.

        Parameters
        ----------
        *models : str or path
            "NAME", "NAME:VERSION", "job:ID" (what that job trains), or the folder of a model; all
            of one network.
        network : str, optional
            Needed only where the server cannot tell it from the first model.
        weights : str or int, optional
            "best", "last", the number of a kept epoch, or "all": every kept set, each ranked.
        source, target, axes, class_names, options, parameters, **more
            As in `train`, which has the errors too.
        """
        if not models:
            raise Refused("models: none is named.", "Name the models to score.")
        request = request_pb2.QcRequest(
            network=network or network_of(self._connection, models[0]),
            options=options.message(new_job_id("qc", Path(models[0]).name)),
            models=[model_reference(self._connection, each, weights) for each in models],
            data=self._dataset("data", source, target, axes, class_names),
            parameters=typed.from_python({**(parameters or {}), **more}),
        )
        return Job(self._connection, self._connection.call(self._connection.networks.Qc, request))

    def qc_predictions(
        self,
        prediction: str | os.PathLike[str],
        *,
        target: str | os.PathLike[str],
        source: str | os.PathLike[str] | None = None,
        task: str = "",
        network: str = "",
        axes: str = "",
        options: JobOptions = _NO_OPTIONS,
    ) -> Job:
        """Score predictions that are there already, by whatever they were made; no model is needed.

        Parameters
        ----------
        prediction, target : str or path
            The predictions and the truth; paired by file name.
        source : str or path, optional
            The images, for the report's pictures.
        task : str, optional
            What the predictions are: "instance segmentation". Needed where the server's networks
            are of several tasks.
        network : str, optional
            A network of the task, instead of `task`; nothing of it is used.

        Raises
        ------
        Refused
            No network of the server has this task; the error names those that there are.
        """
        request = request_pb2.QcRequest(
            network=network or network_of_task(task, self._known_networks()),
            options=options.message(new_job_id("qc", Path(prediction).name)),
            prediction=transfer.locate(self._connection, prediction, "prediction", self.report),
            data=self._dataset("data", source, target, axes, ()),
        )
        return Job(self._connection, self._connection.call(self._connection.networks.Qc, request))

    def _known_networks(self) -> list[network_pb2.Network]:
        try:
            return self.networks()
        except NotFound as error:  # a service by itself that holds several
            raise Refused(f"network: {error.message}.", "Name one whose task it is.") from error


def network_of_task(task: str, networks: Iterable[network_pb2.Network]) -> str:
    """Return a network of a task; of the one task that there is, where none is given.

    Raises
    ------
    Refused
        There is none, or none is given and there are several tasks.
    """
    by_task = {each.task: each.name for each in networks}
    known = ", ".join(sorted(by_task)) or "none"
    if not task:
        if len(by_task) == 1:
            return next(iter(by_task.values()))
        raise Refused("task: say what the predictions are.", f"The server knows: {known}.")
    for there, name in by_task.items():
        if there.casefold() == task.strip().casefold():
            return name
    raise Refused(f"task: no network of the server does {task!r}.", f"The server knows: {known}.")
