# SPDX-License-Identifier: BSD-3-Clause
"""Looks at a model of the library before the library reads it: a model is data, and must not run code or lie."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Dict, Iterator, List

import h5py
from framework import Config2D, Config3D

from dl4mic_sdk.errors import ModelError
from dl4mic_sdk.task import ModelFolder
from dl4mic_sdk.training import weights_path

CONFIG_NAME = "config.json"
LARGEST_TEXT = 1 << 20

RUNS_CODE = (".keras", ".pkl", ".pickle", ".joblib", ".pt", ".pth", ".ckpt", ".npy", ".pb")
"""Endings of files that may hold code (pickles, Lambda layers, graphs), which reading them would run."""

_TRUSTED_BYTES, _MOST_EXPANSION = 64 << 20, 20
"""Trained weights hardly compress: what claims more than this was made to fill the memory."""

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

_LAMBDA = re.compile(r'"class_name":\s*"[^"]*Lambda"')


def read_json(path: Path) -> Dict[str, Any]:
    """Read a small JSON file of a model.

    Raises
    ------
    ModelError
        It is missing, too large, or no JSON object.
    """
    try:
        if path.stat().st_size > LARGEST_TEXT:
            raise ValueError("it is larger than 1 MiB")
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError("it is no JSON object")
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path.name} cannot be read: {error}", "Copy the model anew.") from error
    return content


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
    if stored.get("n_dim") != dimensions:
        hint = f"Import it with --network stardist{stored['n_dim']}d." if "n_dim" in stored else ""
        raise ModelError(
            f"{CONFIG_NAME} is of a model for {stored.get('n_dim', '?')}D images, not for {dimensions}D",
            hint or "Copy the model anew.",
        )
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


def check_weights(path: Path) -> None:
    """Raise ModelError unless a file holds nothing but the numbers of Keras weights (HDF5).

    Notes
    -----
    The library loads weights with `load_weights`, which reads arrays by their names and runs nothing. What a file can
    still do is to name other files of this machine (external links and storage), and to claim arrays that no memory
    holds; a whole Keras model with Lambda layers would run code in programs that open it whole.
    """
    try:
        with h5py.File(path, "r") as file:
            for fault in _faults(file, path.stat().st_size):
                raise ModelError(
                    f"{path.name} {fault}; it is not loaded",
                    "Save the weights alone, with model.keras_model.save_weights('weights_best.h5').",
                )
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        raise ModelError(
            f"{path.name} is no sound HDF5 file{_likely(path)} ({error})", "Copy the model anew."
        ) from error


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


def _faults(file: Any, size: int) -> Iterator[str]:
    text = file.attrs.get("model_config", "")
    text = text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
    if _LAMBDA.search(text):
        yield "holds a Lambda layer, which is code"
    names: List[str] = []
    file.visititems_links(lambda name, link: _note_link(names, name, link))
    if names:
        yield f"points elsewhere ({names[0]})"
    arrays: List[Any] = []
    file.visititems(lambda name, item: _note_array(arrays, item))
    for each in arrays:
        if each.external or each.is_virtual:
            yield f"keeps {each.name} in another file"
        if each.dtype.kind not in "fiu":
            yield f"holds {each.name}, which is not made of numbers"
    claimed = sum(each.dtype.itemsize * each.size for each in arrays)
    if claimed > max(_TRUSTED_BYTES, _MOST_EXPANSION * size):
        yield f"claims {claimed >> 20} MiB of numbers, which its {size >> 20} MiB cannot hold"


def _note_link(names: List[str], name: str, link: Any) -> None:
    if not isinstance(link, h5py.HardLink):
        names.append(name)


def _note_array(arrays: List[Any], item: Any) -> None:
    if isinstance(item, h5py.Dataset):
        arrays.append(item)


def _likely(path: Path) -> str:
    with path.open("rb") as file:
        start = file.read(4)
    if start[:1] == b"\x80" or start == b"PK\x03\x04":
        return ", but looks like a pickle or archive, which might run code"
    return ""
