# SPDX-License-Identifier: BSD-3-Clause
"""Models of the library that were made elsewhere: plain folders, also those that the notebooks leave."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, List, Mapping

from framework import Config2D, Config3D, StarDist2D, StarDist3D
from thresholds import FILE_NAME as THRESHOLDS_NAME
from thresholds import Thresholds
from untrusted import check_configuration

from dl4mic_keras.plain_folder import folder_name, take_history, take_weights, write_plain_folder
from dl4mic_keras.untrusted import CONFIG_NAME
from dl4mic_keras.untrusted import read_json as read_untrusted
from dl4mic_sdk.context import Context
from dl4mic_sdk.errors import ModelError
from dl4mic_sdk.normalisation import Normalisation
from dl4mic_sdk.task import ModelFolder

_STRUCTURE = ("n_rays", "grid", "anisotropy", "backbone", "unet_", "resnet_", "net_conv_")

_README = """\
StarDist model {name}, exported by dl4mic.

Open it in Python (pip install stardist), with the present folder above this one:

    from stardist.models import {kind}
    from csbdeep.utils import normalize
    model = {kind}(None, name={folder!r}, basedir=".")
    labels, details = model.predict_instances(normalize(image, {low:g}, {high:g}))

Images were normalised by these percentiles in training; others would change the result.
Licence: {licence}.
"""


def import_plain(
    source: Path, dimensions: int, parameters: Mapping[str, Any], model: Path, ctx: Context
) -> Dict[str, Any]:
    """Take in a folder of the library: ``config.json``, ``weights_*.h5`` and ``thresholds.json``.

    Parameters
    ----------
    source
        The folder. Other files in it (the notebooks' quality control, reports) are left where they are, but for the
        notebooks' loss record, from which a later training takes its learning rate.
    dimensions
        2 or 3.
    parameters
        Of the job: the percentiles by which images were normalised in training, which no file says.
    model
        Empty folder to fill.
    ctx
        Is told what is missing.

    Returns
    -------
    dict
        For `model.json`.

    Raises
    ------
    ModelError
        Something is damaged or missing, would run code, or is of other images.
    """
    config = check_configuration(read_untrusted(source / CONFIG_NAME), dimensions)
    take_weights(source, lambda: _built(config), model)
    write_model(config, _thresholds_of(source, ctx), model)
    take_history(source, model)
    return said_of(config, parameters)


def said_of(config: Mapping[str, Any], parameters: Mapping[str, Any]) -> Dict[str, Any]:
    """Return what a configuration tells `model.json`."""
    return {
        "parameters": parameters_of(config, parameters),
        "axes": [_axes_of(config)],
        "channels": config["n_channel_in"],
    }


def write_model(config: Mapping[str, Any], thresholds: Thresholds, model: Path) -> None:
    """Write what a model folder holds beside its weights."""
    (model / CONFIG_NAME).write_text(json.dumps(config), encoding="utf-8")
    thresholds.save(model)


def thresholds_from(stored: Mapping[str, Any], name: str) -> Thresholds:
    """Read thresholds that others chose.

    Raises
    ------
    ModelError
        They are no numbers from 0 to 1.
    """
    values = [stored.get(key) for key in ("prob", "nms")]
    if not all(isinstance(each, (int, float)) and 0 <= each <= 1 for each in values):
        raise ModelError(f"{name}: prob and nms are numbers from 0 to 1", "Copy the model anew.")
    return Thresholds(*map(float, values))  # type: ignore[arg-type]  # numbers, as was just seen


def parameters_of(config: Mapping[str, Any], given: Mapping[str, Any]) -> Dict[str, Any]:
    """Return what a training here would have called the settings of a model."""
    usual = Normalisation()
    low, high = given.get("percentile_low"), given.get("percentile_high")
    structure = {name: config[name] for name in config if name.startswith(_STRUCTURE)}
    return {
        **structure,
        "percentile_low": usual.low if low is None else low,
        "percentile_high": usual.high if high is None else high,
    }


def export_plain(model: ModelFolder, folder: Path) -> None:
    """Write a folder that the library opens, with the weights that were asked for as its best."""
    used = Normalisation.of(model.record["parameters"])
    dimensions = read_untrusted(model.path / CONFIG_NAME)["n_dim"]
    text = _README.format(
        name=model.name,
        folder=folder_name(model),
        kind=f"StarDist{dimensions}D",
        low=used.low,
        high=used.high,
        licence=model.record.get("licence", "unknown"),
    )
    write_plain_folder(model, folder, text, THRESHOLDS_NAME)


def _built(config: Mapping[str, Any]) -> Any:
    kind, form = (StarDist2D, Config2D) if config["n_dim"] == 2 else (StarDist3D, Config3D)
    return kind(form(**config), basedir=None).keras_model


def _thresholds_of(source: Path, ctx: Context) -> Thresholds:
    if not (source / THRESHOLDS_NAME).exists():
        usual = Thresholds()
        text = f"the model has no {THRESHOLDS_NAME}; the library's {usual.prob} and {usual.nms} are used"
        ctx.warning("NO_THRESHOLDS", text)
        return usual
    return thresholds_from(read_untrusted(source / THRESHOLDS_NAME), THRESHOLDS_NAME)


def _axes_of(config: Mapping[str, Any]) -> str:
    axes: List[str] = [each for each in str(config["axes"]) if each != "C"]
    return "".join(axes) + ("C" if config["n_channel_in"] > 1 else "")
