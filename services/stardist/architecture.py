# SPDX-License-Identifier: BSD-3-Clause
"""Turns a job's parameters and what is known of its data into the library's model configuration."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from framework import Config2D, Config3D

from dl4mic_sdk.errors import ModelError, SdkError
from dl4mic_sdk.patch_shape import PatchRule
from dl4mic_sdk.task import ModelFolder

CONFIG_NAME = "config.json"
_ISOTROPIC_BELOW = 1.5
"""Axes whose objects are shorter by more than this factor are not subsampled (library's 3D example)."""

_STRUCTURE = ("unet_", "resnet_", "net_conv_after_")
"""Parameters with these beginnings have the library's own names."""

_TRAINING = {
    "train_shape_completion": "shape_completion",
    "train_completion_crop": "completion_crop",
    "train_background_reg": "background_regularisation",
    "train_foreground_only": "foreground_fraction",
    "train_dist_loss": "distance_loss",
    "train_loss_weights": "loss_weights",
    "train_epochs": "epochs",
    "train_batch_size": "batch_size",
}


@dataclass(frozen=True)
class Geometry:
    """What of a model follows from the images.

    Attributes
    ----------
    grid
        Pixels of the image per predicted point along each axis.
    anisotropy
        How much shorter objects are along each axis than along their longest; None in 2D.
    divisor
        Patches must be multiples of this along each axis.
    """

    grid: Tuple[int, ...]
    anisotropy: Optional[Tuple[float, ...]]
    divisor: Tuple[int, ...]


def geometry(parameters: Mapping[str, Any], extents: Sequence[float]) -> Geometry:
    """Choose grid and anisotropy.

    Parameters
    ----------
    parameters
        Of the job; ``grid`` and ``anisotropy`` win over what the data says.
    extents
        Median size of the objects along each axis, in pixels.
    """
    anisotropy: Optional[Tuple[float, ...]] = None
    if len(extents) == 3:
        longest = max(extents)
        anisotropy = tuple(round(longest / max(each, 1.0), 3) for each in extents)
        anisotropy = tuple(parameters.get("anisotropy") or anisotropy)
    grid = tuple(parameters["grid"] or _grid_of(anisotropy))
    _refuse_unless_powers_of_two(grid)
    return Geometry(grid, anisotropy, _divisor(parameters, grid))


def _grid_of(anisotropy: Optional[Sequence[float]]) -> Tuple[int, ...]:
    if anisotropy is None:
        return (2, 2)
    return tuple(1 if each > _ISOTROPIC_BELOW else 2 for each in anisotropy)


def _refuse_unless_powers_of_two(grid: Sequence[int]) -> None:
    if any(each & (each - 1) for each in grid):
        raise SdkError(
            f"grid {list(grid)} is not made of powers of two", "Use 1, 2, 4, 8, ... for each axis."
        )


def _divisor(parameters: Mapping[str, Any], grid: Sequence[int]) -> Tuple[int, ...]:
    if parameters.get("backbone") == "resnet":
        return tuple(grid)
    depth, pool = parameters["unet_n_depth"], parameters["unet_pool"]
    return tuple(each**depth * step for each, step in zip(pool, grid))


def patch_shape(
    parameters: Mapping[str, Any], divisor: Sequence[int], smallest: Sequence[int]
) -> Tuple[int, ...]:
    """Choose the size of training patches.

    Parameters
    ----------
    parameters
        ``patch_size``, or with None ``largest_patch`` and the data.
    divisor
        As of `Geometry`.
    smallest
        Size of the smallest training image along each axis.

    Raises
    ------
    SdkError
        As of `PatchRule.shape`.
    """
    margin = parameters["completion_crop"] if parameters.get("shape_completion") else 0
    rule = PatchRule(divisor, "unet_pool, unet_n_depth and grid", margin, "completion_crop")
    return rule.shape(parameters["patch_size"], parameters["largest_patch"], smallest)


def configuration(
    parameters: Mapping[str, Any],
    shape: Geometry,
    patch: Sequence[int],
    learning_rate: float,
    channels: int = 1,
) -> Any:
    """Make the library's configuration of a new model.

    Parameters
    ----------
    parameters
        Of the job.
    shape, patch
        As chosen by `geometry` and `patch_shape`.
    learning_rate
        Of the first step.
    channels
        Of the images.
    """
    backbone = parameters.get("backbone", "unet")
    options = {key: _plain(parameters[key]) for key in _structure(parameters) if backbone in key}
    options.update(training_options(parameters, patch, learning_rate), n_channel_in=channels)
    if len(patch) == 2:
        return Config2D(n_rays=parameters["n_rays"], grid=shape.grid, **options)
    return Config3D(
        rays=parameters["n_rays"],
        grid=shape.grid,
        anisotropy=shape.anisotropy,
        backbone=backbone,
        **options,
    )


def _structure(parameters: Mapping[str, Any]) -> List[str]:
    return [key for key in parameters if key.startswith(_STRUCTURE)]


def training_options(
    parameters: Mapping[str, Any], patch: Sequence[int], learning_rate: float
) -> Dict[str, Any]:
    """Return what of a configuration concerns the training alone, under the library's names."""
    options = {
        key: _plain(parameters[name]) for key, name in _TRAINING.items() if name in parameters
    }
    options["train_patch_size"] = tuple(patch)
    options["train_learning_rate"] = learning_rate
    options["train_tensorboard"] = False
    return options


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def inherited(parent: ModelFolder, dimensions: int) -> Any:
    """Read the configuration of the model to start from.

    Raises
    ------
    ModelError
        It cannot be read, or is of a model for images of another number of dimensions.
    """
    path = parent.path / CONFIG_NAME
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"model {parent.name}: {path} cannot be read ({error})") from error
    if stored.get("n_dim") != dimensions:
        raise ModelError(
            f"model {parent.name} is for {stored.get('n_dim')}D images, not for {dimensions}D"
        )
    return (Config2D if dimensions == 2 else Config3D)(**stored)


def divisor_of(config: Any) -> Tuple[int, ...]:
    """Return what patches must be multiples of in a configured model."""
    if config.backbone == "resnet":
        return tuple(config.grid)
    return tuple(
        pool**config.unet_n_depth * step for pool, step in zip(config.unet_pool, config.grid)
    )


def differences(config: Any, parameters: Mapping[str, Any]) -> List[str]:
    """Name the parameters of the model's structure that a parent's configuration overrules."""
    structure = (key for key in _structure(parameters) if hasattr(config, key))
    names = [*structure, "n_rays", "grid"]
    wanted = {key: _plain(parameters.get(key)) for key in names}
    return [
        key
        for key, value in wanted.items()
        if value is not None and value != _plain(getattr(config, key))
    ]
