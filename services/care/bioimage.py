# SPDX-License-Identifier: BSD-3-Clause
"""BioImage.IO packages of CARE models: the bundle that others run, and the weights that come back."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Mapping

import architecture
from formats import PERCENTILES, percentiles_of, said_of
from framework import write_configuration

from dl4mic_keras import bioimage_import, unet
from dl4mic_keras.bioimage_export import Extent, Package, example_of, scale_range, write_package
from dl4mic_sdk.context import Context
from dl4mic_sdk.images import Image
from dl4mic_sdk.normalisation import Normalisation
from dl4mic_sdk.task import ModelFolder

_LIBRARY = "csbdeep"
_EXAMPLE = Path(__file__).with_name("example")

_DOCUMENT = """\
Images are normalised by the percentiles {low:g} and {high:g}, which become 0 and 1, and come out on that scale, from
which the format cannot bring them back: multiply by the distance of the two percentiles of the input, and add the lower
one.{scale}

# Validation

Compare restored images with good images of the same fields that the model has never seen, before you trust it.
"""

_SCALE = """
The channels `scale` are the scale of the Laplace distribution of each pixel: how unsure the model is of it."""


def import_package(
    source: Path, dimensions: int, parameters: Mapping[str, Any], model: Path, ctx: Context
) -> Dict[str, Any]:
    """Take in an unpacked package that dl4mic wrote.

    Parameters
    ----------
    source
        The unpacked package.
    dimensions
        2 or 3.
    parameters
        Of the job; what the package says of the images' normalisation wins over them.
    model
        Empty folder to fill.
    ctx
        Is told where it does.

    Returns
    -------
    dict
        For `model.json`: also licence, authors, citations and title, as the package states them.

    Raises
    ------
    ModelError
        It is damaged, or holds no model of CARE.
    """
    package = bioimage_import.Package.open(source, _LIBRARY, "CARE")
    config = architecture.check_configuration(package.configuration, dimensions)
    package.take_weights(model)
    write_configuration(config, model)
    used = package.normalisation(parameters, PERCENTILES, ctx)
    return {**said_of(config, percentiles_of(used)), **package.said()}


def export_package(model: ModelFolder, opened: Any, network: str, folder: Path) -> None:
    """Write a package of format 0.5 whose test tensors are made from the service's example image.

    Parameters
    ----------
    model
        The model to export.
    opened
        The same as a model of the library.
    network
        Its network, whose example is used.
    folder
        Empty folder to fill.
    """
    config, used = opened.config, Normalisation.of(model.record["parameters"])
    axes = config.axes.replace("C", "")
    outputs = [f"restored{number}" for number in range(config.n_channel_out)]
    if config.probabilistic:
        outputs += [f"scale{number}" for number in range(config.n_channel_out)]
    package = Package(
        title=f"CARE {config.n_dim}D: restores noisy or blurred images",
        tags=["care", "restoration", "denoising", "fiji", "unet"],
        document=_DOCUMENT.format(
            low=used.low, high=used.high, scale=_SCALE if config.probabilistic else ""
        ),
        extent=Extent.around(axes, unet.divisor(config), [unet.context(config)] * len(axes)),
        inputs=[f"channel{number}" for number in range(config.n_channel_in)],
        outputs=outputs,
        output="the restored image, on the scale of the normalised input",
        library=_LIBRARY,
        own={"weights": "weights_best.h5", "config": vars(config)},
        preprocessing=[scale_range(axes, used)],
    )
    source = _EXAMPLE / network / "test" / "source"
    image = example_of(source, package.extent, config.n_channel_in, folder)
    normalised = used.normalised(Image(image, axes + "C"))
    write_package(package, model, opened.keras_model, normalised, folder)
