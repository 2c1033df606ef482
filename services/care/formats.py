# SPDX-License-Identifier: BSD-3-Clause
"""Models of the library that were made elsewhere, and forms that other programs read."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Mapping, Tuple

import architecture
from framework import network_of, version, write_configuration

from dl4mic_keras import stored_model
from dl4mic_keras.bundle import write_bundle
from dl4mic_keras.plain_folder import folder_name, take_history, take_weights, write_plain_folder
from dl4mic_sdk.normalisation import Normalisation
from dl4mic_sdk.task import ModelFolder

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
    take_weights(source, lambda: network_of(config).keras_model, model)
    take_history(source, model)
    write_configuration(config, model)
    return said_of(config, percentiles_of(parameters))


def said_of(config: Any, percentiles: Tuple[float, float]) -> Dict[str, Any]:
    """Return what the configuration of a model that is taken in tells `model.json`."""
    return {
        "parameters": architecture.parameters_of(config, percentiles),
        "axes": [stored_model.image_axes(config)],
        "channels": config.n_channel_in,
    }


def open_model(model: ModelFolder, dimensions: int) -> Any:
    """Build the library's model with the weights that were asked for.

    Raises
    ------
    ModelError
        As of `stored_model.open_model`.
    """
    return stored_model.open_model(
        model, lambda: network_of(architecture.read_configuration(model.path, dimensions))
    )


def export_plain(model: ModelFolder, opened: Any, folder: Path) -> None:
    """Write a folder that the library opens, with the weights that were asked for as its best."""
    used = Normalisation.of(model.record["parameters"])
    text = _README.format(
        name=model.name,
        folder=folder_name(model),
        axes=stored_model.image_axes(opened.config),
        low=used.low,
        high=used.high,
        licence=model.record.get("licence", "unknown"),
    )
    write_plain_folder(model, folder, text)


def export_bundle(opened: Any, folder: Path) -> None:
    """Write the bundle that Fiji's CSBDeep plug-ins run."""
    write_bundle(
        opened.keras_model, stored_model.bundle_facts("CARE", version, opened.config), folder
    )


def percentiles_of(given: Mapping[str, Any]) -> Tuple[float, float]:
    """Return the percentiles of an import's parameters, those of the library where they are left out."""
    low, high = given.get("percentile_low"), given.get("percentile_high")
    return (
        PERCENTILES.low if low is None else float(low),
        PERCENTILES.high if high is None else float(high),
    )
