# SPDX-License-Identifier: BSD-3-Clause
"""Show, name and delete models."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import grpc

from dl4mic.check import check_name
from dl4mic.locations import refuse
from dl4mic.pages import MOST, page
from dl4mic.v1.model_pb2 import (
    DeleteModelRequest,
    DeleteModelResponse,
    GetModelRequest,
    ListModelsRequest,
    ListModelsResponse,
    Model,
    QualityControl,
    SetModelAliasRequest,
)
from dl4mic.v1.model_pb2_grpc import ModelServiceServicer
from dl4mic.v1.parameter_pb2 import ParameterValue
from dl4mic_orchestrator import records
from dl4mic_orchestrator.api.errors import check_unused
from dl4mic_orchestrator.dependents import Obstacle
from dl4mic_orchestrator.registry import Registry


class ModelApi(ModelServiceServicer):
    """The contract's ModelService.

    Parameters
    ----------
    obstacles
        Version of a model -> who needs it.
    """

    def __init__(
        self, registry: Registry, obstacles: Callable[[records.Model], list[Obstacle]]
    ) -> None:
        self._registry = registry
        self._obstacles = obstacles

    def GetModel(self, request: GetModelRequest, context: grpc.ServicerContext) -> Model:
        """Answer with one version."""
        return self._message(self._registry.rows.find(request.model))

    def ListModels(
        self, request: ListModelsRequest, context: grpc.ServicerContext
    ) -> ListModelsResponse:
        """Answer with the versions that pass the filters."""
        models = self._registry.rows.published(
            name=request.name, network=request.network, project=request.project
        )
        found, token = page(
            models, lambda model: model.tag, request.page_size or MOST, request.page_token
        )
        return ListModelsResponse(
            models=[self._message(model) for model in found], next_page_token=token
        )

    def SetModelAlias(self, request: SetModelAliasRequest, context: grpc.ServicerContext) -> Model:
        """Move an alias to a version."""
        check_name(request.alias, "alias")
        if request.alias.isdigit():
            raise refuse("alias", f"{request.alias!r} would read as a version; use a word")
        model = self._registry.rows.find(request.model)
        self._registry.rows.set_alias(model, request.alias)
        return self._message(self._registry.rows.find(model.tag))

    def DeleteModel(
        self, request: DeleteModelRequest, context: grpc.ServicerContext
    ) -> DeleteModelResponse:
        """Delete a version that nothing needs."""
        name, _, version = request.model.partition(":")
        if not version.isdigit():
            raise refuse("model", f"{request.model!r}: name the version, {name}:VERSION")
        model = self._registry.rows.find(request.model)
        check_unused(model.tag, self._obstacles(model), "MODEL_IN_USE")
        return DeleteModelResponse(freed_bytes=self._registry.delete(model))

    def _message(self, model: records.Model) -> Model:
        record: Mapping[str, Any] = json.loads(model.record)
        message = Model(
            name=model.name,
            version=model.version,
            aliases=model.aliases,
            network=model.network,
            project=model.project,
            size=model.size,
            digest=model.digest,
            parent=model.parent,
            job_id=model.job_id,
            record=json.dumps(record, indent=1),
            weights=[str(each) for each in record.get("weights", ())],
        )
        message.create_time.FromNanoseconds(int(model.create_time * 1e9))
        for name, value in record.get("parameters", {}).items():
            message.parameters[name].CopyFrom(_parameter(value))
        message.quality_controls.extend(self._scores(model))
        return message

    def _scores(self, model: records.Model) -> Iterator[QualityControl]:
        for scores in self._registry.rows.scores(model.digest):
            control = QualityControl(job_id=scores.job_id, scores=dict(scores.values))
            control.time.FromNanoseconds(int(scores.time * 1e9))
            yield control


def _parameter(value: Any) -> ParameterValue:
    """Type a plain value; one that the network chose from the data (None) stays empty."""
    if isinstance(value, bool):
        return ParameterValue(boolean=value)
    if isinstance(value, int):
        return ParameterValue(integer=value)
    if isinstance(value, float):
        return ParameterValue(number=value)
    if isinstance(value, str):
        return ParameterValue(text=value)
    message = ParameterValue()
    if isinstance(value, list):
        message.list.values.extend(_parameter(each) for each in value)
    return message
