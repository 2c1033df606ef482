# SPDX-License-Identifier: BSD-3-Clause
"""BioImage.IO packages with what the library looks for in its own ones, and those that it made."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, Mapping

from architecture import divisor_of
from fiji import at_every_pixel
from formats import said_of, thresholds_from, write_model
from segmentation import open_model
from stardist import __version__ as library_version
from stardist.bioimageio_utils import DEEPIMAGEJ_MACRO
from untrusted import check_configuration

from dl4mic_keras import bioimage_import
from dl4mic_keras.bioimage_export import Extent, Package, example_of, scale_range, write_package
from dl4mic_sdk.context import Context
from dl4mic_sdk.images import Image
from dl4mic_sdk.normalisation import Normalisation
from dl4mic_sdk.task import ModelFolder

_WEIGHTS, _MACRO = "stardist_weights.h5", "stardist_postprocessing.ijm"
"""As the library calls them in its own packages."""

_EXAMPLE = Path(__file__).with_name("example")

_DOCUMENT = """\
It predicts for every pixel the probability of an object and the distances to the object's edge in {rays} directions;
objects are made of these by the `stardist` library{by_macro}.

# Validation

Look at predictions for images of your own before you trust them: count the objects that were missed, split or joined.
"""


def import_package(
    source: Path, dimensions: int, parameters: Mapping[str, Any], model: Path, ctx: Context
) -> Dict[str, Any]:
    """Take in an unpacked package that carries weights of the library.

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
        It is damaged, or none of the library's.
    """
    package = bioimage_import.Package.open(source, "stardist", "StarDist")
    config = check_configuration(package.configuration, dimensions)
    package.take_weights(model)
    limits = bioimage_import.mapping(package.own, "thresholds")
    write_model(config, thresholds_from(limits, "thresholds"), model)
    used = package.normalisation(parameters, Normalisation(), ctx)
    return {**said_of(config, used), **package.said()}


def export_package(model: ModelFolder, network: str, folder: Path, title: str) -> None:
    """Write a package of format 0.5 whose test tensors are made from the service's example image.

    Parameters
    ----------
    model
        The model to export.
    network
        Its network, whose example is used.
    folder
        Empty folder to fill.
    title
        Of the network.
    """
    opened = open_model(model, 2 if network.endswith("2d") else 3)
    config, used = opened.config, Normalisation.of(model.record["parameters"])
    attachments = _write_macro(opened, folder)
    package = Package(
        title=f"{title}: finds objects with star-convex shapes",
        tags=["stardist", "instance-segmentation", "object-detection", "fiji", "unet"],
        document=_document(config, attachments),
        extent=_extent(opened),
        inputs=[f"channel{number}" for number in range(config.n_channel_in)],
        outputs=["probability", *(f"distance{number}" for number in range(config.n_rays))],
        output="probability of an object, and distances to its edge in each direction",
        library="stardist",
        own=_own(opened, attachments),
        preprocessing=[scale_range(_axes(config), used)],
        attachments=attachments,
    )
    source = _EXAMPLE / network / "test" / "source"
    image = example_of(source, package.extent, config.n_channel_in, folder)
    normalised = used.normalised(Image(image, _axes(config) + "C"))
    write_package(package, model, at_every_pixel(opened), normalised, folder)


def _write_macro(opened: Any, folder: Path) -> List[str]:
    """Write the macro by which deepImageJ makes objects, which there is in 2D; return its name."""
    if opened.config.n_dim == 3:
        return []
    limits = {"probThresh": opened.thresholds.prob, "nmsThresh": opened.thresholds.nms}
    (folder / _MACRO).write_text(DEEPIMAGEJ_MACRO.format(**limits), encoding="utf-8")
    return [_MACRO]


def _document(config: Any, attachments: List[str]) -> str:
    by_macro = f", or in Fiji by the macro `{_MACRO}`" if _MACRO in attachments else ""
    return _DOCUMENT.format(rays=config.n_rays, by_macro=by_macro)


def _axes(config: Any) -> str:
    return str(config.axes).replace("C", "")


def _extent(opened: Any) -> Extent:
    axes = _axes(opened.config)
    overlap = dict(zip(opened.config.axes, opened._axes_tile_overlap(opened.config.axes)))
    return Extent.around(axes, divisor_of(opened.config), [overlap[each] for each in axes])


def _own(opened: Any, attachments: List[str]) -> Dict[str, Any]:
    """What the library looks for in its own packages."""
    own = {
        "python_version": library_version,
        "thresholds": {key: float(value) for key, value in opened.thresholds._asdict().items()},
        "weights": _WEIGHTS,
        "config": vars(opened.config),
    }
    return {**own, "postprocessing_macro": _MACRO} if _MACRO in attachments else own
