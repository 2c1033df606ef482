# SPDX-License-Identifier: BSD-3-Clause
"""Turns a job's parameters and what is known of its data into the library's model configuration."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Mapping, Sequence, Tuple

from framework import Config

from dl4mic_keras.untrusted import CONFIG_NAME, read_json
from dl4mic_sdk.errors import ModelError
from dl4mic_sdk.patch_shape import PatchRule
from dl4mic_sdk.task import ModelFolder

_STRUCTURE = ("unet_n_depth", "unet_kern_size", "unet_n_first", "unet_last_activation")
"""Parameters that have the library's own names."""

_MOST = {
    "n_channel_in": 64,
    "n_channel_out": 64,
    "unet_n_depth": 8,
    "unet_n_first": 1024,
    "unet_kern_size": 15,
}
"""Of a structure; the library would otherwise build whatever a file says, until memory is gone."""


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
        **{name: parameters[name] for name in _STRUCTURE},
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


def inherited(parent: ModelFolder, dimensions: int) -> Any:
    """Read the configuration of the model to start from.

    Raises
    ------
    ModelError
        It cannot be read, or is of a model for images of another number of dimensions.
    """
    return Config(**read_configuration(parent.path, dimensions))


def differences(config: Any, parameters: Mapping[str, Any]) -> List[str]:
    """Name the parameters of the model's structure that a parent's configuration overrules."""
    names = [*_STRUCTURE, "probabilistic"]
    return [name for name in names if parameters[name] != getattr(config, name)]


def patch_rule(config: Any) -> PatchRule:
    """Return what the depth of a model asks of its patches."""
    return PatchRule(divisor(config), "unet_n_depth")


def divisor(config: Any) -> Tuple[int, ...]:
    """Return what sizes of patches and tiles must be multiples of along each axis: each level halves them."""
    return (2**config.unet_n_depth,) * int(config.n_dim)


def context(config: Any) -> int:
    """Return how many pixels around a pixel the network looks at, at most.

    Two layers on each level, down and up, and two at the bottom; a pixel of level n is 2^n wide, and pooling falls on
    any of these pixels. That is what the library's `receptive_field_unet` measures, or up to 2^depth more.
    """
    depth, reach = config.unet_n_depth, config.unet_kern_size // 2
    levels = 2**depth - 1
    return int(4 * reach * levels + 2 * reach * 2**depth + levels)


def read_configuration(folder: Path, dimensions: int) -> Dict[str, Any]:
    """Read and check ``config.json`` of a model folder.

    Raises
    ------
    ModelError
        As of `check_configuration`, or it cannot be read.
    """
    return check_configuration(read_json(folder / CONFIG_NAME), dimensions)


def check_configuration(stored: Dict[str, Any], dimensions: int) -> Dict[str, Any]:
    """Return a stored configuration as the library of today writes it.

    Parameters
    ----------
    stored
        Content of ``config.json``, of whatever version of the library.
    dimensions
        That the network is for.

    Raises
    ------
    ModelError
        It is no configuration, or of a model that the network cannot run.
    """
    _refuse_dimensions(stored, dimensions)
    for name, most in _MOST.items():
        value = stored.get(name, 1)
        if not isinstance(value, int) or not 0 < value <= most:
            text = f"{CONFIG_NAME}: {name} is {value!r}; it is a whole number from 1 to {most}"
            raise ModelError(text, "The file is damaged: copy the model anew.")
    try:
        config = Config(**stored)
        valid, wrong = config.is_valid(return_invalid=True)
    except (TypeError, ValueError, AttributeError, KeyError) as error:
        raise ModelError(
            f"{CONFIG_NAME} is no configuration of a CARE model: {error}",
            "Import it with the network that it was trained for.",
        ) from error
    if not valid:
        text = f"{CONFIG_NAME}: {', '.join(wrong)} cannot be as they are"
        raise ModelError(text, "Copy the model anew.")
    return dict(vars(config))


def _refuse_dimensions(stored: Mapping[str, Any], dimensions: int) -> None:
    found = stored.get("n_dim")
    if found != dimensions:
        hint = f"Import it with --network care{found}d." if found in (2, 3) else ""
        raise ModelError(
            f"{CONFIG_NAME} is of a model for {found or '?'}D images, not for {dimensions}D",
            hint or "Copy the model anew.",
        )


def axes_of(config: Mapping[str, Any]) -> str:
    """Return the axes of the images that a configured model takes: ``"YX"``, ``"ZYXC"``, ..."""
    spatial = str(config["axes"]).replace("C", "")
    return spatial + ("C" if config["n_channel_in"] > 1 else "")


def parameters_of(config: Mapping[str, Any], percentiles: Sequence[float]) -> Dict[str, Any]:
    """Return what a training here would have called the settings of a model."""
    structure = {name: config[name] for name in (*_STRUCTURE, "unet_residual", "probabilistic")}
    return {**structure, "percentile_low": percentiles[0], "percentile_high": percentiles[1]}
