# SPDX-License-Identifier: BSD-3-Clause
"""Can the models that a request names be used? Asked, by their records alone, before a framework is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Mapping

from dl4mic_sdk.errors import ModelError
from dl4mic_sdk.qc.candidates import with_all_weights
from dl4mic_sdk.task import ModelFolder
from dl4mic_sdk.training import weights_path


def check_models(request: Mapping[str, Any]) -> Dict[str, int]:
    """Look at the models of a request: those to apply or score, and the one that a training starts from.

    Parameters
    ----------
    request
        Content of `request.json`.

    Returns
    -------
    dict
        Name of each model -> the channels that an image must have for it, where its record says so.

    Raises
    ------
    ModelError
        A model has no readable record, is of another network, was not finished, or lacks the weights that are asked
        for. A model without a list of its weights is left to its network to judge.
    """
    models, parent = request.get("models") or [], request.get("parent")
    channels: Dict[str, int] = {}
    for each in [*models, *([parent] if parent else ())]:
        folder = Path(each["folder"])
        model = ModelFolder.open(each["name"], folder, each["weights"], request["network"])
        check_model(model)
        if isinstance(model.record.get("channels"), int):
            channels[model.name] = model.record["channels"]
    return channels


def check_model(model: ModelFolder) -> None:
    """Raise ModelError unless a model was finished and has the weights, one set or all, that are asked for."""
    _refuse_unfinished(model)
    every = with_all_weights(model)
    if not every:
        message = "model {}: no weights are kept in {}".format(model.name, model.path)
        raise ModelError(message, "Choose another model.")
    if "weights" in model.record:
        for each in every:
            _refuse_missing_weights(each)


def _refuse_unfinished(model: ModelFolder) -> None:
    if model.record.get("complete") is False:
        message = "model {}: its training has not been finished".format(model.name)
        raise ModelError(message, "Retry that training, or choose another model.")


def _refuse_missing_weights(model: ModelFolder) -> None:
    kept = [str(each) for each in model.record["weights"]]
    if model.weights not in kept:
        text = "model {}: it has no weights '{}'"
        hint = "It keeps {}.".format(", ".join(kept) or "none")
        raise ModelError(text.format(model.name, model.weights), hint)
    if not any(model.path.glob(weights_path(Path(), model.weights, ".*").name)):
        text = "model {}: its weights '{}' are missing in {}"
        hint = "The folder is damaged: copy it anew, or choose another model."
        raise ModelError(text.format(model.name, model.weights, model.path), hint)
