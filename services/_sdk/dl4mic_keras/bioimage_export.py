# SPDX-License-Identifier: BSD-3-Clause
"""Writes BioImage.IO packages of format 0.5: the bundle that others run, with the weights that come back as a model."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from datetime import datetime, timezone
from hashlib import sha256
from pathlib import Path
from typing import Any, Dict, List, Mapping, Sequence

import numpy as np
import yaml

from dl4mic_keras.bundle import INPUT_NAME, OUTPUT_NAME, write_graph
from dl4mic_keras.plain_folder import folder_name
from dl4mic_sdk.archive import pack
from dl4mic_sdk.images import list_images, read
from dl4mic_sdk.model_source import files_of
from dl4mic_sdk.normalisation import Normalisation
from dl4mic_sdk.task import ModelFolder
from dl4mic_sdk.training import weights_path

FORMAT_VERSION = "0.5.4"

_BUNDLE, _DOCUMENT = "TF_SavedModel.zip", "README.md"
_TEST_INPUT, _TEST_OUTPUT = "test_input.npy", "test_output.npy"

_FIJI_TENSORFLOW = "1.15.0"
"""The oldest version that reads the bundle, which is the one that Fiji brings."""


@dataclass(frozen=True)
class Extent:
    """What images may measure, along each of the axes of space.

    Attributes
    ----------
    axes
        ``"YX"`` or ``"ZYX"``.
    smallest, step
        Pixels at least, and what may be added to them.
    halo
        Pixels at the border that know too little of what is beside them.
    """

    axes: str
    smallest: Sequence[int]
    step: Sequence[int]
    halo: Sequence[int]

    @classmethod
    def around(cls, axes: str, step: Sequence[int], context: Sequence[int]) -> Extent:
        """Make room for the context of one step; the halo in eights, as in packages that others have published."""
        halo = [-(-int(each) // 8) * 8 for each in context]
        smallest = [-(-(s + 2 * h) // s) * s for s, h in zip(step, halo)]
        return cls(axes, smallest, list(step), halo)


@dataclass(frozen=True)
class Package:
    """What is special to a network's packages.

    Attributes
    ----------
    title
        Of the network, with what it does: ``"CARE 2D: restores images"``.
    tags
        By which others find it.
    document
        Markdown, beside the name and what every document says.
    extent
        Of its images.
    inputs, outputs
        Names of the channels.
    output
        What the numbers of the output are.
    library
        The library whose model it is, and what a reader of its packages looks for.
    preprocessing
        Of the format; empty where the bundle takes images as they are.
    attachments
        Names of files that are in the folder already, beside the weights.
    """

    title: str
    tags: Sequence[str]
    document: str
    extent: Extent
    inputs: Sequence[str]
    outputs: Sequence[str]
    output: str
    library: str
    own: Mapping[str, Any]
    preprocessing: Sequence[Mapping[str, Any]] = ()
    attachments: Sequence[str] = field(default=())


def write_package(
    package: Package, model: ModelFolder, keras: Any, example: np.ndarray, folder: Path
) -> None:
    """Write a package.

    Parameters
    ----------
    package
        What is special to it.
    model
        Whose weights are attached, and of whose record authors, citations and licence are.
    keras
        The model that others run: one input, one output at every pixel of it.
    example
        ((z,) y, x, channels), float32, as preprocessing leaves it; the test tensors are `example_of` and the answer.
    folder
        Holds the test input; is filled.
    """
    write_graph(keras, folder / "bundle")
    pack(files_of(folder / "bundle"), folder / _BUNDLE)
    shutil.rmtree(str(folder / "bundle"))
    weights = str(package.own["weights"])
    shutil.copyfile(str(weights_path(model.path, model.weights, ".h5")), str(folder / weights))
    np.save(str(folder / _TEST_OUTPUT), keras.predict(example[np.newaxis], verbose=0))
    text = "# {}\n\n{}, exported by dl4mic.\n{}\n".format(
        folder_name(model), package.title.partition(":")[0], package.document
    )
    (folder / _DOCUMENT).write_text(text, encoding="utf-8")
    record = dict(
        _description(package, model),
        inputs=[_input(package, folder)],
        outputs=[_output(package, folder)],
        weights={
            "tensorflow_saved_model_bundle": dict(
                _file(folder, _BUNDLE), tensorflow_version=_FIJI_TENSORFLOW
            )
        },
        attachments=[_file(folder, each) for each in (weights, *package.attachments)],
        config={package.library: _plain(package.own)},
    )
    (folder / "rdf.yaml").write_text(yaml.safe_dump(record, sort_keys=False), encoding="utf-8")


def example_of(source: Path, extent: Extent, channels: int, folder: Path) -> np.ndarray:
    """Write the test input, and return it.

    Parameters
    ----------
    source
        Folder of an example's images; the first one is taken.
    extent
        The image is repeated and cut to the smallest size.
    channels
        That the model takes; all are given the same.
    folder
        Of the package.

    Returns
    -------
    numpy.ndarray
        float32, ((z,) y, x, channels).
    """
    pixels = _of_size(read(list_images(source)[0]).pixels.astype(np.float32), extent.smallest)
    image: np.ndarray = np.repeat(pixels[..., np.newaxis], channels, axis=-1)
    np.save(str(folder / _TEST_INPUT), image[np.newaxis])
    return image


def scale_range(axes: str, used: Normalisation) -> Dict[str, Any]:
    """Return the preprocessing by percentiles of each channel of an image."""
    kwargs = {
        "axes": [each.lower() for each in axes],
        "min_percentile": float(used.low),
        "max_percentile": float(used.high),
    }
    return {"id": "scale_range", "kwargs": kwargs}


def _of_size(pixels: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    missing = [(0, max(0, size - length)) for size, length in zip(shape, pixels.shape)]
    whole: np.ndarray = np.pad(pixels, missing, mode="wrap")[tuple(slice(size) for size in shape)]
    return whole


def _description(package: Package, model: ModelFolder) -> Dict[str, Any]:
    record = model.record
    authors = [{"name": each} for each in record.get("authors", ())] or [{"name": "not stated"}]
    described = {
        "format_version": FORMAT_VERSION,
        "type": "model",
        "name": folder_name(model),
        "description": package.title,
        "authors": authors,
        "cite": [_citation(each) for each in record.get("citations", ())],
        "license": record.get("licence"),
        "documentation": _DOCUMENT,
        "tags": list(package.tags),
        "timestamp": datetime.now(timezone.utc).isoformat(),
    }
    if described["license"] in (None, "unknown"):
        del described["license"]
    return described


def _citation(each: Mapping[str, Any]) -> Dict[str, str]:
    doi = str(each.get("doi") or "").rpartition("doi.org/")[2]
    return dict({"text": str(each["text"])}, **({"doi": doi} if doi else {}))


def _input(package: Package, folder: Path) -> Dict[str, Any]:
    extent = package.extent
    sizes = [{"min": low, "step": step} for low, step in zip(extent.smallest, extent.step)]
    tensor = _tensor(INPUT_NAME, _space(extent, sizes), package.inputs, folder, _TEST_INPUT)
    return dict(tensor, preprocessing=list(package.preprocessing))


def _output(package: Package, folder: Path) -> Dict[str, Any]:
    extent = package.extent
    sizes = [{"tensor_id": INPUT_NAME, "axis_id": each.lower()} for each in extent.axes]
    space = _space(extent, sizes)
    for axis, halo in zip(space, extent.halo):
        axis["halo"] = halo
    tensor = _tensor(OUTPUT_NAME, space, package.outputs, folder, _TEST_OUTPUT)
    return dict(tensor, description=package.output)


def _space(extent: Extent, sizes: Sequence[Mapping[str, Any]]) -> List[Dict[str, Any]]:
    return [
        {"type": "space", "id": axis.lower(), "size": dict(size)}
        for axis, size in zip(extent.axes, sizes)
    ]


def _tensor(
    name: str, space: Sequence[Mapping[str, Any]], channels: Sequence[str], folder: Path, test: str
) -> Dict[str, Any]:
    return {
        "id": name,
        "axes": [{"type": "batch"}, *space, {"type": "channel", "channel_names": list(channels)}],
        "test_tensor": _file(folder, test),
        "data": {"type": "float32"},
    }


def _plain(value: Any) -> Any:
    """Bring a value into what YAML writes without naming Python."""
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return value.item() if isinstance(value, np.generic) else value


def _file(folder: Path, name: str) -> Dict[str, str]:
    return {"source": name, "sha256": sha256((folder / name).read_bytes()).hexdigest()}
