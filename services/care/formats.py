# SPDX-License-Identifier: BSD-3-Clause
"""Models of the library that were made elsewhere, and forms that other programs read."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, Dict, Mapping

import architecture
from framework import CARE, Config

from dl4mic_keras.bundle import write_graph
from dl4mic_keras.plain_folder import folder_name, take_history, take_weights
from dl4mic_keras.untrusted import CONFIG_NAME, check_weights
from dl4mic_sdk.errors import ModelError
from dl4mic_sdk.normalisation import Normalisation
from dl4mic_sdk.task import ModelFolder
from dl4mic_sdk.training import weights_path

PERCENTILES = Normalisation(2.0, 99.8)
"""Of csbdeep's `PercentileNormalizer`, by which its own prediction normalises."""

_README = """\
CARE model {name}, exported by dl4mic.

Open it in Python (pip install csbdeep), with the present folder above this one:

    from csbdeep.models import CARE
    from csbdeep.data import PercentileNormalizer
    model = CARE(None, name={folder!r}, basedir=".")
    restored = model.predict(image, {axes!r}, normalizer=PercentileNormalizer({low:g}, {high:g}))

Images were normalised by these percentiles in validation; others would change the result.
Licence: {licence}.
"""


def import_plain(
    source: Path, dimensions: int, parameters: Mapping[str, Any], model: Path
) -> Dict[str, Any]:
    """Take in a folder of the library: ``config.json`` and ``weights_*.h5``.

    Parameters
    ----------
    source
        The folder. Other files in it (the notebooks' quality control, TensorFlow bundles) are left where they are, but
        for the notebooks' loss record, from which a later training takes its learning rate.
    dimensions
        2 or 3.
    parameters
        Of the job: the percentiles by which images are normalised, which no file says.
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
    config = architecture.read_configuration(source, dimensions)
    take_weights(source, lambda: CARE(Config(**config), basedir=None).keras_model, model)
    take_history(source, model)
    write_configuration(config, model)
    return {
        "parameters": architecture.parameters_of(config, percentiles_of(parameters)),
        "axes": [architecture.axes_of(config)],
        "channels": config["n_channel_in"],
    }


def export_plain(model: ModelFolder, folder: Path) -> None:
    """Write a folder that the library opens, with the weights that were asked for as its best."""
    name = folder_name(model)
    plain = folder / name
    plain.mkdir()
    shutil.copyfile(weights_path(model.path, model.weights, ".h5"), plain / "weights_best.h5")
    shutil.copyfile(model.path / CONFIG_NAME, plain / CONFIG_NAME)
    used = Normalisation.of(model.record["parameters"])
    stored = json.loads((plain / CONFIG_NAME).read_text(encoding="utf-8"))
    text = _README.format(
        name=model.name,
        folder=name,
        axes=architecture.axes_of(stored),
        low=used.low,
        high=used.high,
        licence=model.record.get("licence", "unknown"),
    )
    (plain / "README.txt").write_text(text, encoding="utf-8")


def export_bundle(opened: Any, folder: Path) -> None:
    """Write the bundle that Fiji's CSBDeep plug-ins run, with what they ask for in ``meta.json``.

    Parameters
    ----------
    opened
        Model of the library.
    folder
        Empty folder.
    """
    write_graph(opened.keras_model, folder)
    axes = opened.config.axes
    meta = {
        "type": "CARE",
        "version": _version(),
        "probabilistic": opened.config.probabilistic,
        "axes": axes,
        "axes_div_by": [int(each) for each in opened._axes_div_by(axes)],
        "tile_overlap": [int(each) for each in opened._axes_tile_overlap(axes)],
    }
    (folder / "meta.json").write_text(json.dumps(meta), encoding="utf-8")


def write_configuration(config: Mapping[str, Any], model: Path) -> None:
    """Write what a model folder holds beside its weights."""
    (model / CONFIG_NAME).write_text(json.dumps(config), encoding="utf-8")


def check_folder(model: ModelFolder, dimensions: int) -> None:
    """Look at a model's folder and the weights that are asked for, before the library opens it.

    Raises
    ------
    ModelError
        As of `architecture.check_configuration` and `check_weights`.
    """
    try:
        architecture.read_configuration(model.path, dimensions)
        weights = weights_path(model.path, model.weights, ".h5")
        if weights.exists():
            check_weights(weights)
    except ModelError as error:
        raise ModelError(f"model {model.name}: {error.message}", error.hint) from error


def percentiles_of(given: Mapping[str, Any]) -> tuple[float, float]:
    """Return the percentiles of an import's parameters, those of the library where they are left out."""
    low, high = given.get("percentile_low"), given.get("percentile_high")
    return (
        PERCENTILES.low if low is None else float(low),
        PERCENTILES.high if high is None else float(high),
    )


def _version() -> str:
    from csbdeep.version import __version__ as version

    return str(version)
