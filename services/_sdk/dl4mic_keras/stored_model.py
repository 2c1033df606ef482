# SPDX-License-Identifier: BSD-3-Clause
"""Models of csbdeep and the libraries built on it as they are stored: looked at first, then built."""

from __future__ import annotations

from typing import Any, Callable, Dict, Mapping

from dl4mic_keras import unet
from dl4mic_keras.framework import quiet
from dl4mic_keras.untrusted import CONFIG_NAME, check_weights
from dl4mic_sdk.errors import ModelError
from dl4mic_sdk.task import ModelFolder
from dl4mic_sdk.training import weights_path


def open_model(model: ModelFolder, build: Callable[[], Any]) -> Any:
    """Build a model of a library with the weights that were asked for.

    Parameters
    ----------
    model
        The folder.
    build
        Reads and checks its configuration, and makes the library's model of it.

    Raises
    ------
    ModelError
        The configuration cannot be used, the folder lacks those weights, or they do not fit.
    """
    try:
        _refuse_missing(model)
        built = build()
        _load(built.keras_model, model)
    except ModelError as error:
        raise ModelError("model {}: {}".format(model.name, error.message), error.hint) from error
    return built


def checked(
    stored: Mapping[str, Any], dimensions: int, most: Mapping[str, int], form: Callable[..., Any]
) -> Any:
    """Make a library's configuration of a stored one, after a look at what it says.

    Parameters
    ----------
    stored
        Content of ``config.json``.
    dimensions
        That the network is for.
    most
        Whole numbers of the structure, and the largest that are taken: a library would build whatever a file says,
        until memory is gone.
    form
        Makes the configuration of its values by name.

    Raises
    ------
    ModelError
        It is none, or of a model that the network cannot run.
    """
    refuse_other_images(stored, dimensions)
    for name, largest in most.items():
        value = stored.get(name)
        if not isinstance(value, int) or not 0 < value <= largest:
            text = "{}: {} is {!r}; it is a whole number from 1 to {}"
            raise _damaged(text.format(CONFIG_NAME, name, value, largest))
    try:
        config = form(**stored)
        valid, wrong = config.is_valid(return_invalid=True)
    except (TypeError, ValueError, AttributeError, KeyError) as error:
        raise _damaged(
            "{} is no configuration of such a model: {}".format(CONFIG_NAME, error)
        ) from error
    if not valid:
        raise _damaged("{}: {} cannot be as they are".format(CONFIG_NAME, ", ".join(wrong)))
    return config


def refuse_other_images(stored: Mapping[str, Any], dimensions: int) -> None:
    """Raise ModelError unless a stored configuration is of images of so many dimensions."""
    found = stored.get("n_dim")
    if found != dimensions:
        known = found in (2, 3)
        text = "{} is of a model for {}D images, not for {}D"
        hint = "Use it with the network for {}D images.".format(found)
        raise ModelError(
            text.format(CONFIG_NAME, found if known else "?", dimensions),
            hint if known else "Copy the model anew.",
        )


def image_axes(config: Any) -> str:
    """Return the axes of the images that a configured model takes: ``"YX"``, ``"ZYXC"``, ..."""
    spatial = str(config.axes).replace("C", "")
    return spatial + ("C" if config.n_channel_in > 1 else "")


def bundle_facts(kind: str, version: str, config: Any) -> Dict[str, Any]:
    """Return what Fiji's CSBDeep plug-ins ask for in the ``meta.json`` of a bundle.

    Parameters
    ----------
    kind
        By which they call the library.
    version
        Of the library.
    config
        Of the model.
    """
    return {
        "type": kind,
        "version": version,
        "probabilistic": bool(config.probabilistic),
        "axes": config.axes,
        "axes_div_by": [*unet.divisor(config), 1],
        "tile_overlap": [unet.context(config)] * int(config.n_dim) + [0],
    }


def _refuse_missing(model: ModelFolder) -> None:
    weights = weights_path(model.path, model.weights, ".h5")
    if not weights.exists():
        there = ", ".join(sorted(each.name for each in model.path.glob("weights_*.h5"))) or "none"
        hint = "Ask for other weights; there are: {}.".format(there)
        raise ModelError("there is no {}".format(weights.name), hint)
    check_weights(weights)


def _load(keras: Any, model: ModelFolder) -> None:
    weights = weights_path(model.path, model.weights, ".h5")
    try:
        with quiet():
            keras.load_weights(str(weights))
    except (OSError, ValueError, KeyError, TypeError) as error:
        text = "{} does not fit {} ({})".format(weights.name, CONFIG_NAME, error)
        raise ModelError(text, "Copy the model anew.") from error


def _damaged(message: str) -> ModelError:
    return ModelError(message, "The file is damaged: copy the model anew.")
