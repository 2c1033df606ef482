# SPDX-License-Identifier: BSD-3-Clause
"""Writes BioImage.IO packages of format 0.5, with what the library looks for in its own ones."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Dict, List, Mapping, Sequence, Tuple

import numpy as np
import yaml
from architecture import divisor_of
from fiji import write_bundle
from segmentation import open_model
from stardist import __version__ as library_version
from stardist.bioimageio_utils import DEEPIMAGEJ_MACRO

from dl4mic_keras.bundle import INPUT_NAME, OUTPUT_NAME
from dl4mic_keras.plain_folder import folder_name
from dl4mic_sdk.archive import pack
from dl4mic_sdk.images import read
from dl4mic_sdk.model_source import files_of
from dl4mic_sdk.normalisation import Normalisation
from dl4mic_sdk.task import ModelFolder
from dl4mic_sdk.training import weights_path

FORMAT_VERSION = "0.5.4"

_BUNDLE, _WEIGHTS, _MACRO = (
    "TF_SavedModel.zip",
    "stardist_weights.h5",
    "stardist_postprocessing.ijm",
)
"""As the library calls them in its own packages."""

_FIJI_TENSORFLOW = "1.15.0"
"""The oldest version that reads the bundle, which is the one that Fiji brings."""

_EXAMPLE = Path(__file__).with_name("example")

_DOCUMENT = """\
# {name}

{title}, exported by dl4mic.
It predicts for every pixel the probability of an object and the distances to the object's edge in {rays} directions;
objects are made of these by the `stardist` library{by_macro}.

# Validation

Look at predictions for images of your own before you trust them: count the objects that were missed, split or joined.
"""


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
    halo, smallest = _extent(opened)
    used = Normalisation.of(model.record["parameters"])
    attachments = _write_weights(model, opened, folder)
    _write_tests(opened, network, smallest, used, folder)
    _write_document(model, opened, title, folder)
    record = {
        **_description(model, title),
        "inputs": [_input(opened.config, smallest, used, folder)],
        "outputs": [_output(opened.config, halo, folder)],
        "weights": {"tensorflow_saved_model_bundle": _bundle(folder)},
        "attachments": [_file(folder, each) for each in attachments],
        "config": {"stardist": _own(opened, attachments)},
    }
    (folder / "rdf.yaml").write_text(yaml.safe_dump(record, sort_keys=False), encoding="utf-8")


def _write_weights(model: ModelFolder, opened: Any, folder: Path) -> List[str]:
    """Write the bundle that others run, and the attachments by which the library makes objects; return their names."""
    write_bundle(opened, folder / "bundle")
    pack(files_of(folder / "bundle"), folder / _BUNDLE)
    shutil.rmtree(folder / "bundle")
    shutil.copyfile(weights_path(model.path, model.weights, ".h5"), folder / _WEIGHTS)
    if opened.config.n_dim == 3:
        return [_WEIGHTS]
    limits = {"probThresh": opened.thresholds.prob, "nmsThresh": opened.thresholds.nms}
    (folder / _MACRO).write_text(DEEPIMAGEJ_MACRO.format(**limits), encoding="utf-8")
    return [_WEIGHTS, _MACRO]


def _write_document(model: ModelFolder, opened: Any, title: str, folder: Path) -> None:
    by_macro = f", or in Fiji by the macro `{_MACRO}`" if (folder / _MACRO).exists() else ""
    text = _DOCUMENT.format(
        name=folder_name(model), title=title, rays=opened.config.n_rays, by_macro=by_macro
    )
    (folder / "README.md").write_text(text, encoding="utf-8")


def _extent(model: Any) -> Tuple[Dict[str, int], Dict[str, int]]:
    """Return halo and smallest size of an image along each axis, as the library's own packages have them."""
    axes = [each for each in model.config.axes if each != "C"]
    steps = dict(zip(model.config.axes, model._axes_div_by(model.config.axes)))
    overlap = dict(zip(model.config.axes, model._axes_tile_overlap(model.config.axes)))
    halo = {each: -(-int(overlap[each]) // 8) * 8 for each in axes}
    smallest = {
        each: -(-(steps[each] + 2 * halo[each]) // steps[each]) * steps[each] for each in axes
    }
    return halo, smallest


def _write_tests(
    model: Any, network: str, smallest: Mapping[str, int], used: Normalisation, folder: Path
) -> None:
    """Write an image and what the model answers to it, computed by the model itself."""
    source = next(iter(sorted((_EXAMPLE / network / "test" / "source").glob("*.tif"))))
    pixels = _of_size(read(source).pixels.astype(np.float32), list(smallest.values()))
    channels = np.repeat(pixels[..., np.newaxis], model.config.n_channel_in, axis=-1)
    normalised = np.stack([used.apply(pixels)] * model.config.n_channel_in, axis=-1)
    probability, distances = model.keras_model.predict(normalised[np.newaxis])[:2]
    np.save(folder / "test_input.npy", channels[np.newaxis])
    np.save(folder / "test_output.npy", _spread(probability, distances, model.config.grid))


def _of_size(pixels: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    missing = [(0, max(0, size - length)) for size, length in zip(shape, pixels.shape)]
    return np.pad(pixels, missing, mode="wrap")[tuple(slice(size) for size in shape)]


def _spread(probability: np.ndarray, distances: np.ndarray, grid: Sequence[int]) -> np.ndarray:
    """Bring the answer to the size of the image, as the bundle does."""
    shape = [size * step for size, step in zip(probability.shape[1:-1], grid)]
    spread = np.zeros((1, *shape, 1), np.float32)
    spread[(slice(None), *(slice(None, None, step) for step in grid))] = probability
    for axis, step in enumerate(grid, start=1):
        distances = np.repeat(distances, step, axis=axis)
    return np.concatenate([spread, distances], axis=-1)


def _description(model: ModelFolder, title: str) -> Dict[str, Any]:
    record = model.record
    authors = [{"name": each} for each in record.get("authors", ())] or [{"name": "not stated"}]
    described = {
        "format_version": FORMAT_VERSION,
        "type": "model",
        "name": folder_name(model),
        "description": f"{title}: finds objects with star-convex shapes",
        "authors": authors,
        "cite": [_citation(each) for each in record.get("citations", ())],
        "license": record.get("licence"),
        "documentation": "README.md",
        "tags": ["stardist", "instance-segmentation", "object-detection", "fiji", "unet"],
        "timestamp": datetime.now(UTC).isoformat(),
    }
    if described["license"] in (None, "unknown"):
        del described["license"]
    return described


def _citation(each: Mapping[str, Any]) -> Dict[str, str]:
    doi = str(each.get("doi") or "").rpartition("doi.org/")[2]
    return {"text": str(each["text"]), **({"doi": doi} if doi else {})}


def _axes(config: Any) -> List[str]:
    return [each.lower() for each in config.axes if each != "C"]


def _input(
    config: Any, smallest: Mapping[str, int], used: Normalisation, folder: Path
) -> Dict[str, Any]:
    steps = _steps(config)
    spaces = [
        {"type": "space", "id": each, "size": {"min": smallest[each.upper()], "step": steps[each]}}
        for each in _axes(config)
    ]
    names = [f"channel{number}" for number in range(config.n_channel_in)]
    scaling = {
        "axes": _axes(config),
        "min_percentile": float(used.low),
        "max_percentile": float(used.high),
    }
    return {
        "id": INPUT_NAME,
        "axes": [{"type": "batch"}, *spaces, {"type": "channel", "channel_names": names}],
        "test_tensor": _file(folder, "test_input.npy"),
        "data": {"type": "float32"},
        "preprocessing": [{"id": "scale_range", "kwargs": scaling}],
    }


def _steps(config: Any) -> Dict[str, int]:
    return dict(zip(_axes(config), divisor_of(config)))


def _output(config: Any, halo: Mapping[str, int], folder: Path) -> Dict[str, Any]:
    spaces = [
        {
            "type": "space",
            "id": each,
            "size": {"tensor_id": INPUT_NAME, "axis_id": each},
            "halo": halo[each.upper()],
        }
        for each in _axes(config)
    ]
    names = ["probability", *(f"distance{number}" for number in range(config.n_rays))]
    return {
        "id": OUTPUT_NAME,
        "description": "probability of an object, and distances to its edge in each direction",
        "axes": [{"type": "batch"}, *spaces, {"type": "channel", "channel_names": names}],
        "test_tensor": _file(folder, "test_output.npy"),
        "data": {"type": "float32"},
    }


def _bundle(folder: Path) -> Dict[str, Any]:
    return {**_file(folder, _BUNDLE), "tensorflow_version": _FIJI_TENSORFLOW}


def _own(model: Any, attachments: Sequence[str]) -> Dict[str, Any]:
    """What the library looks for in its own packages."""
    own = {
        "python_version": library_version,
        "thresholds": {key: float(value) for key, value in model.thresholds._asdict().items()},
        "weights": _WEIGHTS,
        "config": _plain(vars(model.config)),
    }
    return {**own, "postprocessing_macro": _MACRO} if _MACRO in attachments else own


def _plain(value: Any) -> Any:
    """Bring a value into what YAML writes without naming Python."""
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return value.item() if isinstance(value, np.generic) else value


def _file(folder: Path, name: str) -> Dict[str, str]:
    return {"source": name, "sha256": sha256((folder / name).read_bytes()).hexdigest()}
