# SPDX-License-Identifier: BSD-3-Clause
"""Looks at a configuration of the library before the library reads it, which runs what some settings say."""

from __future__ import annotations

from typing import Any, Dict, Iterator

from framework import Config2D, Config3D

from dl4mic_keras.stored_model import refuse_other_images
from dl4mic_keras.untrusted import CONFIG_NAME, check_weights, read_json
from dl4mic_sdk.errors import ModelError
from dl4mic_sdk.task import ModelFolder
from dl4mic_sdk.training import weights_path

_MOST = {
    "n_rays": 512,
    "n_channel_in": 64,
    "unet_n_depth": 7,
    "unet_n_filter_base": 1024,
    "unet_n_conv_per_depth": 16,
    "net_conv_after_unet": 8192,
    "resnet_n_blocks": 32,
    "resnet_n_filter_base": 1024,
    "resnet_n_conv_per_block": 16,
    "net_conv_after_resnet": 8192,
}
"""Of a structure; the library would otherwise build whatever a file says, until memory is gone."""

_MOST_OF_LIST = 64
_RAYS = {
    "Rays_GoldenSpiral": {"n": 512, "anisotropy": 0},
    "Rays_Cartesian": {"n_rays_x": 64, "n_rays_z": 64},
    "Rays_SubDivide": {"n_level": 4},
    "Rays_Tetra": {"n_level": 4},
    "Rays_Octo": {"n_level": 4},
    "Rays_Explicit": {"vertices0": 0, "faces0": 0},
}
"""The library's sets of rays, and the largest of their numbers (0: any); it runs (`eval`) the name in the file."""


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
    refuse_other_images(stored, dimensions)
    if stored.get("n_classes") is not None:
        message = f"{CONFIG_NAME}: the model sorts objects into {stored['n_classes']} classes"
        raise ModelError(message, "Only models that find objects of one kind are taken.")
    for fault in _faults_of(stored):
        raise ModelError(f"{CONFIG_NAME}: {fault}", "The file is damaged: copy the model anew.")
    kind = Config2D if dimensions == 2 else Config3D
    try:
        config = kind(**kind.update_loaded_config(dict(stored)))
        valid, wrong = config.is_valid(return_invalid=True)
    except (TypeError, ValueError, AttributeError, KeyError) as error:
        raise ModelError(
            f"{CONFIG_NAME} is no configuration: {error}", "Copy the model anew."
        ) from error
    if not valid:
        raise ModelError(
            f"{CONFIG_NAME}: {', '.join(wrong)} cannot be as they are", "Copy the model anew."
        )
    return dict(vars(config))


def check_folder(model: ModelFolder, dimensions: int) -> None:
    """Look at a model's folder and the weights that are asked for, before the library opens it.

    Raises
    ------
    ModelError
        As of `check_configuration` and `check_weights`.
    """
    try:
        check_configuration(read_json(model.path / CONFIG_NAME), dimensions)
        weights = weights_path(model.path, model.weights, ".h5")
        if weights.exists():
            check_weights(weights)
    except ModelError as error:
        raise ModelError(f"model {model.name}: {error.message}", error.hint) from error


def _faults_of(stored: Dict[str, Any]) -> Iterator[str]:
    for name, most in _MOST.items():
        value = stored.get(name, 1)
        if not isinstance(value, int) or not 0 <= value <= most:
            yield f"{name} is {value!r}; it is a whole number up to {most}"
    for name, value in stored.items():
        structure = name == "grid" or name.startswith(("unet_", "resnet_"))
        if structure and isinstance(value, list) and not all(map(_is_small, value)):
            yield f"{name} is {value!r}; it is made of whole numbers up to {_MOST_OF_LIST}"
    if "rays_json" in stored:
        yield from _faults_of_rays(stored["rays_json"])


def _is_small(value: Any) -> bool:
    return isinstance(value, int) and 0 < value <= _MOST_OF_LIST


def _faults_of_rays(rays: Any) -> Iterator[str]:
    named = rays.get("name") if isinstance(rays, dict) else rays
    known = _RAYS.get(named) if isinstance(named, str) else None
    if known is None:
        text = str(named)[:60]
        yield f"rays_json names {text!r}, which is no set of rays but code that would be run; it is not"
        return
    for name, value in dict(rays.get("kwargs", {})).items():
        most = known.get(name)
        too_large = bool(most) and not (isinstance(value, int) and 0 < value <= most)
        if most is None or too_large:
            yield f"rays_json: {name} is {value!r}, which {named} cannot be"
