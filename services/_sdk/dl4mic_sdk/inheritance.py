# SPDX-License-Identifier: BSD-3-Clause
"""What a training takes from the model that it starts from, whatever was asked for."""

from __future__ import annotations

from typing import Any, List, Mapping, Sequence

from dl4mic_sdk.context import Context
from dl4mic_sdk.task import ModelFolder, TrainTask
from dl4mic_sdk.training import learning_rate_of


def first_learning_rate(task: TrainTask, usual: float) -> float:
    """Return the learning rate that was asked for, else that at which the parent was left, else the usual one."""
    given = task.parameters["learning_rate"]
    if given is None and task.parent is not None:
        given = learning_rate_of(task.parent.path, task.parent.weights)
    return float(given or usual)


def keep_structure(
    parent: ModelFolder,
    config: Any,
    parameters: Mapping[str, Any],
    names: Sequence[str],
    ctx: Context,
) -> None:
    """Warn where a request asks for another structure than the parent's, which is kept.

    Parameters
    ----------
    parent
        The model to start from.
    config
        Its configuration, with the values as attributes.
    parameters
        Of the job.
    names
        Of parameters and attributes that make a model what it is; those that the network has not are left out.
    ctx
        Gets the warning.
    """
    overruled: List[str] = [
        name for name in names if name in parameters and parameters[name] != getattr(config, name)
    ]
    warn_of_structure(parent, overruled, ctx)


def warn_of_structure(parent: ModelFolder, overruled: Sequence[str], ctx: Context) -> None:
    """Warn of parameters of the structure that the parent overrules, if there are any."""
    if overruled:
        text = "the structure of {} was kept, whatever was asked for: {}"
        ctx.warning("PARAMETERS_OF_PARENT", text.format(parent.name, ", ".join(overruled)))
