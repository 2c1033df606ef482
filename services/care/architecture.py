# SPDX-License-Identifier: BSD-3-Clause
"""Turns a job's parameters and what is known of its data into the library's model configuration."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Mapping, Sequence

from framework import Config

from dl4mic_keras.stored_model import checked
from dl4mic_keras.untrusted import CONFIG_NAME, read_json

STRUCTURE = ("unet_n_depth", "unet_kern_size", "unet_n_first", "unet_last_activation")
"""Parameters that have the library's own names."""

_MOST = {
    "n_channel_in": 64,
    "n_channel_out": 64,
    "unet_n_depth": 8,
    "unet_n_first": 1024,
    "unet_kern_size": 15,
}
"""Of a structure, as of `checked`."""

_OLDER = {"n_channel_in": 1, "n_channel_out": 1}
"""What the library takes where a file does not say."""


@dataclass(frozen=True)
class Channels:
    """How many channels images have before and after restoration."""

    source: int = 1
    target: int = 1


def configuration(
    parameters: Mapping[str, Any],
    dimensions: int,
    channels: Channels,
    steps: int,
    learning_rate: float,
) -> Any:
    """Make the library's configuration of a new model.

    Parameters
    ----------
    parameters
        Of the job.
    dimensions
        2 or 3.
    channels
        Of the images and their targets; the residual of the two is learned where they have equally many.
    steps
        Of an epoch.
    learning_rate
        Of the first step.
    """
    same = channels.source == channels.target
    return Config(
        axes="ZYXC"[-dimensions - 1 :],
        n_channel_in=channels.source,
        n_channel_out=channels.target,
        probabilistic=parameters["probabilistic"],
        unet_residual=parameters["unet_residual"] and same,
        **{name: parameters[name] for name in STRUCTURE},
        **training_options(parameters, parameters["probabilistic"], steps, learning_rate),
    )


def training_options(
    parameters: Mapping[str, Any], probabilistic: bool, steps: int, learning_rate: float
) -> Dict[str, Any]:
    """Return what of a configuration concerns the training alone, under the library's names."""
    return {
        "train_loss": "laplace" if probabilistic else parameters["loss"],
        "train_epochs": parameters["epochs"],
        "train_steps_per_epoch": steps,
        "train_learning_rate": learning_rate,
        "train_batch_size": parameters["batch_size"],
        "train_tensorboard": False,
        "train_reduce_lr": None,  # the shared epoch loop lowers the rate
    }


def read_configuration(folder: Path, dimensions: int) -> Any:
    """Read the configuration of a model folder, of whatever version of the library, after a look at what it says.

    Raises
    ------
    ModelError
        It is none, or of a model that the network cannot run.
    """
    return check_configuration(read_json(folder / CONFIG_NAME), dimensions)


def check_configuration(stored: Mapping[str, Any], dimensions: int) -> Any:
    """Do the same with a configuration that was read elsewhere."""
    return checked({**_OLDER, **stored}, dimensions, _MOST, Config)


def parameters_of(config: Any, percentiles: Sequence[float]) -> Dict[str, Any]:
    """Return what a training here would have called the settings of a model."""
    structure = {
        name: getattr(config, name) for name in (*STRUCTURE, "unet_residual", "probabilistic")
    }
    return {**structure, "percentile_low": percentiles[0], "percentile_high": percentiles[1]}
