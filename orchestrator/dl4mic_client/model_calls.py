# SPDX-License-Identifier: BSD-3-Clause
"""The client's calls about networks and models: described, listed, named, deleted, imported and exported."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from dl4mic.v1 import catalog_pb2, model_pb2, network_pb2, request_pb2
from dl4mic_client import parameters as typed
from dl4mic_client import transfer
from dl4mic_client.connection import Connection
from dl4mic_client.errors import Unsupported
from dl4mic_client.job import Job
from dl4mic_client.model_source import network_of_source, network_that_imports
from dl4mic_client.parameters import Plain
from dl4mic_client.references import model_reference, network_of
from dl4mic_client.requests import JobOptions, new_job_id

_NO_OPTIONS = JobOptions()


class ModelCalls:
    """The part of a `Client` that is about networks and models."""

    _connection: Connection
    report: transfer.Report | None

    def networks(self) -> list[network_pb2.Network]:
        """Return the networks of the server; of a lone service, the one it can name unasked."""
        request = catalog_pb2.ListNetworksRequest()
        try:
            method = self._connection.catalog.ListNetworks
            return list(self._connection.listed(method, request, "networks"))
        except Unsupported:
            return [self.network()]

    def network(self, name: str = "") -> network_pb2.Network:
        """Return a network's manifest: parameters, presets, citations."""
        request = network_pb2.DescribeRequest(network=name)
        return self._connection.call(self._connection.networks.Describe, request)

    def network_of(self, model: str | os.PathLike[str]) -> str:
        """Return the name of a model's network; empty where only the server can tell."""
        return network_of(self._connection, model)

    def models(
        self, *, name: str = "", network: str = "", project: str = ""
    ) -> list[model_pb2.Model]:
        """Return the versions of models, by name, newest first; each filter narrows the list."""
        request = model_pb2.ListModelsRequest(name=name, network=network, project=project)
        method = self._connection.models.ListModels
        return list(self._connection.listed(method, request, "models"))

    def model(self, name: str) -> model_pb2.Model:
        """Return one version of a model: "NAME" (the latest), "NAME:VERSION" or "NAME:ALIAS"."""
        request = model_pb2.GetModelRequest(model=name)
        return self._connection.call(self._connection.models.GetModel, request)

    def set_alias(self, name: str, alias: str) -> model_pb2.Model:
        """Make an alias name this version ("NAME:VERSION"), wherever it pointed before."""
        request = model_pb2.SetModelAliasRequest(model=name, alias=alias)
        return self._connection.call(self._connection.models.SetModelAlias, request)

    def delete_model(self, name: str) -> int:
        """Delete one version of a model; returns the bytes freed."""
        request = model_pb2.DeleteModelRequest(model=name)
        return self._connection.call(self._connection.models.DeleteModel, request).freed_bytes

    def import_model(
        self,
        source: str | os.PathLike[str],
        *,
        model: str,
        network: str = "",
        format: str = "",
        options: JobOptions = _NO_OPTIONS,
        parameters: Mapping[str, Plain] | None = None,
        **more: Plain,
    ) -> Job:
        """Bring a model from elsewhere into the server; returns the job that does it.

        Parameters
        ----------
        source : str or path
            The model's folder or archive, here or on the server ("uploads:PATH", "ROOT:PATH").
        model : str
            Name to give it; its version is the next free one.
        network : str, optional
            The network that it is of. Needed only where neither the model nor the format tells it.
        format : str, optional
            One of the network's formats; without it the one that the model is recognised as.
        options, parameters, **more
            As in `train`.

        Raises
        ------
        Refused
            There is no such folder or file, or several networks could be meant.
        """
        request = request_pb2.ImportModelRequest(
            network=self.network_to_import(source, network=network, format=format),
            options=options.message(new_job_id("import", model)),
            source=transfer.locate(self._connection, source, "source", self.report),
            model=model,
            format=format,
            parameters=typed.from_python({**(parameters or {}), **more}),
        )
        method = self._connection.networks.ImportModel
        return Job(self._connection, self._connection.call(method, request))

    def network_to_import(
        self, source: str | os.PathLike[str], *, network: str = "", format: str = ""
    ) -> str:
        """Return the network that `import_model` would choose; arguments and errors as there."""
        known = network or network_of_source(source)
        return known or network_that_imports(format, self.networks())

    def export_model(
        self,
        model: str | os.PathLike[str],
        *,
        format: str = "",
        network: str = "",
        weights: str | int = "",
        options: JobOptions = _NO_OPTIONS,
        parameters: Mapping[str, Plain] | None = None,
        **more: Plain,
    ) -> Job:
        """Bring a model into the form that another program reads; returns the job that does it.

        Its result is fetched by ``job.download(folder, "export")``.

        Parameters
        ----------
        model : str or path
            "NAME", "NAME:VERSION", "job:ID", or the folder of a model.
        format : str, optional
            One of the network's formats; without it the model's own folder as it is.
        network, weights, options, parameters, **more
            As in `predict`.
        """
        request = request_pb2.ExportModelRequest(
            network=network or network_of(self._connection, model),
            options=options.message(new_job_id("export", Path(model).name)),
            model=model_reference(self._connection, model, weights),
            format=format,
            parameters=typed.from_python({**(parameters or {}), **more}),
        )
        method = self._connection.networks.ExportModel
        return Job(self._connection, self._connection.call(method, request))
