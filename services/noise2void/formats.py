# SPDX-License-Identifier: BSD-3-Clause
"""Models of the library: how they are stored here, and those that were made elsewhere or go there."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Iterator, Mapping

from architecture import STRUCTURE
from intensities import moments_of
from library import configured, network_of, version, write_configuration

from dl4mic_keras import stored_model
from dl4mic_keras.bundle import write_bundle
from dl4mic_keras.framework import tf
from dl4mic_keras.plain_folder import folder_name, take_history, take_weights, write_plain_folder
from dl4mic_keras.stored_model import checked
from dl4mic_keras.untrusted import CONFIG_NAME, read_json
from dl4mic_sdk.errors import ModelError
from dl4mic_sdk.task import ModelFolder

_MOST = {
    "n_channel_in": 64,
    "n_channel_out": 64,
    "unet_n_depth": 7,
    "unet_kern_size": 15,
    "unet_n_first": 1024,
}
"""Of a structure, as of `checked`."""

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
    return checked({**_OLDER, **stored}, dimensions, _MOST, _configured)


def open_model(model: ModelFolder, dimensions: int) -> Any:
    """Build the library's model with the weights that were asked for.

    Raises
    ------
    ModelError
        As of `stored_model.open_model`.
    """
    return stored_model.open_model(
        model, lambda: network_of(read_configuration(model.path, dimensions))
    )


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
    return {
        "parameters": {name: getattr(config, name) for name in STRUCTURE},
        "axes": [stored_model.image_axes(config)],
        "channels": config.n_channel_in,
    }


def export_plain(model: ModelFolder, opened: Any, folder: Path) -> None:
    """Write a folder that the library opens, with the weights that were asked for as its best."""
    text = _README.format(
        name=model.name,
        folder=folder_name(model),
        axes=stored_model.image_axes(opened.config),
        licence=model.record.get("licence", "unknown"),
    )
    write_plain_folder(model, folder, text)


def export_bundle(network: Any, folder: Path) -> None:
    """Write the bundle that Fiji's CSBDeep plug-ins run.

    It takes and gives images in their own intensities: normalisation is part of it. The library's own `export_TF`
    fails with every version of BioImage.IO's package that was tried.
    """
    facts = stored_model.bundle_facts("N2V", version, network.config)
    write_bundle(in_own_intensities(network), facts, folder)


def in_own_intensities(network: Any) -> Any:
    """Return the Keras model of a model of the library, with normalisation and its inverse as layers around it."""
    layers = tf.keras.layers
    means, stds = moments_of(network.config)
    pixels = tf.keras.Input(network.keras_model.input_shape[1:])
    normalised = layers.Rescaling(1 / stds, -means / stds)(pixels)
    denoised = layers.Rescaling(stds, means)(network.keras_model(normalised))
    return tf.keras.Model(pixels, denoised)


def _configured(**stored: Any) -> Any:
    for fault in _faults_of(stored):
        raise ModelError(f"{CONFIG_NAME}: {fault}", "The file is damaged: copy the model anew.")
    return configured(stored)


def _faults_of(stored: Mapping[str, Any]) -> Iterator[str]:
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
