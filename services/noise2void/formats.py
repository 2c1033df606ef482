# SPDX-License-Identifier: BSD-3-Clause
"""Models of the library: how they are stored here, and those that were made elsewhere or go there."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, Dict, Iterator, Mapping

from architecture import STRUCTURE, context
from intensities import moments_of
from library import CONFIG_NAME, configured, network_of, version, write_configuration

from dl4mic_keras.bundle import write_graph
from dl4mic_keras.framework import quiet, tf
from dl4mic_keras.plain_folder import folder_name, take_history, take_weights
from dl4mic_keras.untrusted import check_weights, read_json
from dl4mic_sdk.errors import ModelError
from dl4mic_sdk.task import ModelFolder
from dl4mic_sdk.training import weights_path

_MOST = {
    "n_channel_in": 64,
    "n_channel_out": 64,
    "unet_n_depth": 7,
    "unet_kern_size": 15,
    "unet_n_first": 1024,
}
"""Of a structure; the library would otherwise build whatever a file says, until memory is gone."""

_OLDER = {
    "blurpool": False,
    "skip_skipone": False,
    "structN2Vmask": None,
    "single_net_per_channel": True,
    "probabilistic": False,
}
"""What older versions of the library did, whose files do not say so."""

_README = """\
Noise2Void model {name}, exported by dl4mic.

Open it in Python (pip install n2v), with the present folder above this one:

    from n2v.models import N2V
    model = N2V(None, name={folder!r}, basedir=".")
    denoised = model.predict(image, axes={axes!r})

The image is given as it is: the model knows how to normalise it.
Licence: {licence}.
"""


def read_configuration(folder: Path, dimensions: int) -> Any:
    """Read the configuration of a model, of whatever version of the library, after a look at what it says.

    Raises
    ------
    ModelError
        It is none, or of a model that the network cannot run.
    """
    return check_configuration(read_json(folder / CONFIG_NAME), dimensions)


def check_configuration(stored: Mapping[str, Any], dimensions: int) -> Any:
    """Return a stored configuration as the library's object, after the same look.

    Raises
    ------
    ModelError
        As of `read_configuration`.
    """
    if stored.get("n_dim") != dimensions:
        hint = f"Use it with n2v{stored['n_dim']}d." if stored.get("n_dim") in (2, 3) else ""
        said = stored.get("n_dim", "?")
        raise ModelError(
            f"{CONFIG_NAME} is of a model for {said}D images, not for {dimensions}D",
            hint or "Copy the model anew.",
        )
    for fault in _faults_of(stored):
        raise ModelError(f"{CONFIG_NAME}: {fault}", "The file is damaged: copy the model anew.")
    try:
        config = configured({**_OLDER, **stored})
        valid, wrong = config.is_valid(return_invalid=True)
    except (TypeError, ValueError, AttributeError, KeyError) as error:
        raise ModelError(
            f"{CONFIG_NAME} is no configuration of Noise2Void: {error}", "Copy the model anew."
        ) from error
    if not valid:
        raise ModelError(
            f"{CONFIG_NAME}: {', '.join(wrong)} cannot be as they are", "Copy the model anew."
        )
    return config


def open_model(model: ModelFolder, dimensions: int) -> Any:
    """Build the library's model with the weights that were asked for.

    Raises
    ------
    ModelError
        The folder lacks those weights, or they cannot be read.
    """
    try:
        return _opened(read_configuration(model.path, dimensions), _present(model))
    except ModelError as error:
        raise ModelError(f"model {model.name}: {error.message}", error.hint) from error


def import_plain(source: Path, dimensions: int, model: Path) -> Dict[str, Any]:
    """Take in a folder of the library: ``config.json`` and ``weights_*.h5``.

    Parameters
    ----------
    source
        The folder. Other files in it (the notebooks' quality control, reports) are left where they are, but for the
        notebooks' loss record, from which a later training takes its learning rate.
    dimensions
        2 or 3.
    model
        Empty folder to fill.

    Returns
    -------
    dict
        For `model.json`.

    Raises
    ------
    ModelError
        Something is damaged or missing, would run code, or is of other images.
    """
    config = read_configuration(source, dimensions)
    said = said_of(config)
    take_weights(source, lambda: network_of(config).keras_model, model)
    write_configuration(config, model)
    take_history(source, model)
    return said


def said_of(config: Any) -> Dict[str, Any]:
    """Return what the configuration of a model that is taken in tells `model.json`.

    Raises
    ------
    ModelError
        The library computes it wrongly.
    """
    if config.single_net_per_channel and config.n_channel_in > 1:
        raise ModelError(
            f"{CONFIG_NAME}: the model has a network for each of {config.n_channel_in} channels, and the n2v library "
            "shows every one of them the last channel: what it makes of the others is wrong",
            "Train it anew: here one network sees all channels.",
        )
    axes = config.axes if config.n_channel_in > 1 else config.axes.replace("C", "")
    return {
        "parameters": {name: getattr(config, name) for name in STRUCTURE},
        "axes": [axes],
        "channels": config.n_channel_in,
    }


def export_plain(model: ModelFolder, folder: Path) -> None:
    """Write a folder that the library opens, with the weights that were asked for as its best."""
    name = folder_name(model)
    plain = folder / name
    plain.mkdir()
    shutil.copyfile(weights_path(model.path, model.weights, ".h5"), plain / "weights_best.h5")
    shutil.copyfile(model.path / CONFIG_NAME, plain / CONFIG_NAME)
    stored = read_json(plain / CONFIG_NAME)
    axes = str(stored["axes"]) if stored["n_channel_in"] > 1 else str(stored["axes"])[:-1]
    licence = model.record.get("licence", "unknown")
    text = _README.format(name=model.name, folder=name, axes=axes, licence=licence)
    (plain / "README.txt").write_text(text, encoding="utf-8")


def export_bundle(network: Any, folder: Path) -> None:
    """Write the bundle that Fiji's CSBDeep plug-ins run, with what they ask for in ``meta.json``.

    It takes and gives images in their own intensities: normalisation is part of it. The library's own `export_TF`
    fails with every version of BioImage.IO's package that was tried.
    """
    config = network.config
    write_graph(in_own_intensities(network), folder)
    dimensions = config.n_dim
    meta = {
        "type": "N2V",
        "version": version,
        "probabilistic": False,
        "axes": config.axes,
        "axes_div_by": [2**config.unet_n_depth] * dimensions + [1],
        "tile_overlap": [context(config)] * dimensions + [0],
    }
    (folder / "meta.json").write_text(json.dumps(meta), encoding="utf-8")


def in_own_intensities(network: Any) -> Any:
    """Return the Keras model of a model of the library, with normalisation and its inverse as layers around it."""
    layers = tf.keras.layers
    means, stds = moments_of(network.config)
    pixels = tf.keras.Input(network.keras_model.input_shape[1:])
    normalised = layers.Rescaling(1 / stds, -means / stds)(pixels)
    denoised = layers.Rescaling(stds, means)(network.keras_model(normalised))
    return tf.keras.Model(pixels, denoised)


def _present(model: ModelFolder) -> Path:
    weights = weights_path(model.path, model.weights, ".h5")
    if not weights.exists():
        there = ", ".join(sorted(each.name for each in model.path.glob("weights_*.h5"))) or "none"
        raise ModelError(
            f"there is no {weights.name}", f"Ask for other weights; there are: {there}."
        )
    check_weights(weights)
    return weights


def _opened(config: Any, weights: Path) -> Any:
    network = network_of(config)
    try:
        with quiet():
            network.keras_model.load_weights(str(weights))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"{weights.name} does not fit {CONFIG_NAME} ({error})", "Copy the model anew."
        ) from error
    return network


def _faults_of(stored: Mapping[str, Any]) -> Iterator[str]:
    for name, most in _MOST.items():
        value = stored.get(name)
        if not isinstance(value, int) or not 0 < value <= most:
            yield f"{name} is {value!r}; it is a whole number from 1 to {most}"
    for name in ("means", "stds"):
        value = stored.get(name)
        if not isinstance(value, list) or len(value) != stored["n_channel_in"]:
            yield f"{name} is {value!r}; it has a number for each channel"
        elif not all(map(_is_number, value)):
            yield f"{name} is {value!r}; it is made of numbers"
    if stored["n_channel_out"] != stored["n_channel_in"]:
        yield "n_channel_out is another number than n_channel_in"


def _is_number(value: Any) -> bool:
    try:
        return abs(float(value)) < float("inf")
    except (TypeError, ValueError):
        return False
