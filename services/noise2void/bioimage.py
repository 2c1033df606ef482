# SPDX-License-Identifier: BSD-3-Clause
"""BioImage.IO packages of Noise2Void models: the bundle that others run, and the weights that come back."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict

from formats import check_configuration, in_own_intensities, said_of
from library import write_configuration

from dl4mic_keras import bioimage_import, unet
from dl4mic_keras.bioimage_export import Extent, Package, example_of, write_package
from dl4mic_sdk.task import ModelFolder

_LIBRARY = "n2v"
_EXAMPLE = Path(__file__).with_name("example")

_DOCUMENT = """\
Images are given as they are, and come out in their own intensities: normalisation is part of the model.

# Validation

Look at denoised images beside noisy ones before you trust it: structure must stay, and stripes or a checkerboard that
were not there before say that the noise of neighbouring pixels is correlated, which the model cannot remove.
"""


def import_package(source: Path, dimensions: int, model: Path) -> Dict[str, Any]:
    """Take in an unpacked package that dl4mic wrote; those of the library hold a graph alone, which could be code.

    Parameters
    ----------
    source
        The unpacked package.
    dimensions
        2 or 3.
    model
        Empty folder to fill.

    Returns
    -------
    dict
        For `model.json`: also licence, authors, citations and title, as the package states them.

    Raises
    ------
    ModelError
        It is damaged, or holds no model of Noise2Void.
    """
    package = bioimage_import.Package.open(source, _LIBRARY, "Noise2Void")
    config = check_configuration(package.configuration, dimensions)
    said = said_of(config)
    package.take_weights(model)
    write_configuration(config, model)
    return {**said, **package.said()}


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
    config = opened.config
    axes, channels = config.axes.replace("C", ""), range(config.n_channel_in)
    package = Package(
        title=f"Noise2Void {config.n_dim}D: removes noise from images",
        tags=["noise2void", "denoising", "self-supervision", "fiji", "unet"],
        document=_DOCUMENT,
        extent=Extent.around(axes, unet.divisor(config), [unet.context(config)] * len(axes)),
        inputs=[f"channel{number}" for number in channels],
        outputs=[f"denoised{number}" for number in channels],
        output="the denoised image, in the intensities of the input",
        library=_LIBRARY,
        own={"weights": "weights_best.h5", "config": vars(config)},
    )
    source = _EXAMPLE / network / "test" / "source"
    image = example_of(source, package.extent, config.n_channel_in, folder)
    write_package(package, model, in_own_intensities(opened), image, folder)
