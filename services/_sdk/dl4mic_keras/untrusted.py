# SPDX-License-Identifier: BSD-3-Clause
"""Looks at the files of a model of Keras before a library reads them: a model is data, and must not run code or lie."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Dict, Iterator, List

import h5py

from dl4mic_sdk.errors import ModelError

CONFIG_NAME = "config.json"
LARGEST_TEXT = 1 << 20

RUNS_CODE = (".keras", ".pkl", ".pickle", ".joblib", ".pt", ".pth", ".ckpt", ".npy", ".pb")
"""Endings of files that may hold code (pickles, Lambda layers, graphs), which reading them would run."""

_TRUSTED_BYTES, _MOST_EXPANSION = 64 << 20, 20
"""Trained weights hardly compress: what claims more than this was made to fill the memory."""

_LAMBDA = re.compile(r'"class_name":\s*"[^"]*Lambda"')


def read_json(path: Path) -> Dict[str, Any]:
    """Read a small JSON file of a model.

    Raises
    ------
    ModelError
        It is missing, too large, or no JSON object.
    """
    try:
        if path.stat().st_size > LARGEST_TEXT:
            raise ValueError("it is larger than 1 MiB")
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError("it is no JSON object")
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(
            "{} cannot be read: {}".format(path.name, error), "Copy the model anew."
        ) from error
    return content


def check_weights(path: Path) -> None:
    """Raise ModelError unless a file holds nothing but the numbers of Keras weights (HDF5).

    Notes
    -----
    Libraries load weights with `load_weights`, which reads arrays by their names and runs nothing. What a file can
    still do is to name other files of this machine (external links and storage), and to claim arrays that no memory
    holds; a whole Keras model with Lambda layers would run code in programs that open it whole.
    """
    try:
        with h5py.File(path, "r") as file:
            for fault in _faults(file, path.stat().st_size):
                raise ModelError(
                    "{} {}; it is not loaded".format(path.name, fault),
                    "Save the weights alone, with model.keras_model.save_weights('weights_best.h5').",
                )
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        raise ModelError(
            "{} is no sound HDF5 file{} ({})".format(path.name, _likely(path), error),
            "Copy the model anew.",
        ) from error


def _faults(file: Any, size: int) -> Iterator[str]:
    text = file.attrs.get("model_config", "")
    text = text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
    if _LAMBDA.search(text):
        yield "holds a Lambda layer, which is code"
    names: List[str] = []
    file.visititems_links(lambda name, link: _note_link(names, name, link))
    if names:
        yield "points elsewhere ({})".format(names[0])
    arrays: List[Any] = []
    file.visititems(lambda name, item: _note_array(arrays, item))
    for each in arrays:
        if each.external or each.is_virtual:
            yield "keeps {} in another file".format(each.name)
        if each.dtype.kind not in "fiu":
            yield "holds {}, which is not made of numbers".format(each.name)
    claimed = sum(each.dtype.itemsize * each.size for each in arrays)
    if claimed > max(_TRUSTED_BYTES, _MOST_EXPANSION * size):
        text = "claims {} MiB of numbers, which its {} MiB cannot hold"
        yield text.format(claimed >> 20, size >> 20)


def _note_link(names: List[str], name: str, link: Any) -> None:
    if not isinstance(link, h5py.HardLink):
        names.append(name)


def _note_array(arrays: List[Any], item: Any) -> None:
    if isinstance(item, h5py.Dataset):
        arrays.append(item)


def _likely(path: Path) -> str:
    with path.open("rb") as file:
        start = file.read(4)
    if start[:1] == b"\x80" or start == b"PK\x03\x04":
        return ", but looks like a pickle or archive, which might run code"
    return ""
