# SPDX-License-Identifier: BSD-3-Clause
"""Model folders as csbdeep and the libraries built on it leave them, and the ZeroCostDL4Mic notebooks around them."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Any, Callable, Dict, Mapping, Optional

from dl4mic_keras.framework import quiet
from dl4mic_keras.untrusted import CONFIG_NAME, LARGEST_TEXT, RUNS_CODE, check_weights
from dl4mic_sdk.errors import ModelError
from dl4mic_sdk.task import ModelFolder
from dl4mic_sdk.training import HISTORY_NAME, weights_path

_NOTEBOOK_HISTORY = "Quality Control/training_evaluation.csv"
_COLUMNS = {"loss": "loss", "val_loss": "val_loss", "learning rate": "learning_rate"}
_KERAS_3 = ".weights.h5"


def take_weights(source: Path, build: Callable[[], Any], model: Path) -> None:
    """Copy the best and the last weights of a folder, after a look at them.

    Parameters
    ----------
    source
        The folder. Its files may be called anything: the libraries take what has "best" in its name.
    build
        Makes the Keras model; called where weights are in Keras 3's own form, which is read by it and written in the
        form that all versions read.
    model
        Empty folder to fill.

    Raises
    ------
    ModelError
        There are none, or they are damaged, would run code, or are of another model.
    """
    for which, weights in _weights_of(source).items():
        check_weights(weights)
        _take(weights, build, weights_path(model, which, ".h5"))


def take_history(source: Path, model: Path) -> None:
    """Bring the notebooks' loss record, from which a later training takes its learning rate, into the form of ours.

    One that cannot be read is left out.
    """
    record = source / _NOTEBOOK_HISTORY
    try:
        if record.stat().st_size > LARGEST_TEXT:
            return
        with record.open(newline="", encoding="utf-8") as file:
            rows = [_row(number, each) for number, each in enumerate(csv.DictReader(file), 1)]
    except (OSError, ValueError, csv.Error):
        return
    if rows and all(rows):
        with (model / HISTORY_NAME).open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, ["epoch", *_COLUMNS.values()])
            writer.writeheader()
            writer.writerows(each for each in rows if each)


def write_plain_folder(model: ModelFolder, folder: Path, readme: str, *beside: str) -> None:
    """Write a folder that a library opens, with the weights that were asked for as its best.

    Parameters
    ----------
    model
        The model to export.
    folder
        Empty folder; gets one of the name of the model.
    readme
        Text of the ``README.txt`` in it.
    beside
        Names of files that the library has beside weights and ``config.json``.
    """
    plain = folder / folder_name(model)
    plain.mkdir()
    weights = weights_path(model.path, model.weights, ".h5")
    shutil.copyfile(str(weights), str(plain / "weights_best.h5"))
    for name in (CONFIG_NAME, *beside):
        shutil.copyfile(str(model.path / name), str(plain / name))
    (plain / "README.txt").write_text(readme, encoding="utf-8")


def folder_name(model: ModelFolder) -> str:
    """Name a model so that any file system and program takes it: ``nuclei-3``."""
    return Path(model.name).name.replace(":", "-")


def _weights_of(source: Path) -> Dict[str, Path]:
    found = sorted([*source.glob("*.h5"), *source.glob("*.hdf5")])
    if not found:
        raise _no_weights(source)
    chosen: Dict[str, Path] = {}
    for which in ("best", "last"):
        named = [each for each in found if which in each.name]
        if named:
            chosen[which] = named[0]
    if "best" not in chosen:
        chosen["best"] = chosen.pop("last", found[0])
    return chosen


def _take(weights: Path, build: Callable[[], Any], target: Path) -> None:
    if not weights.name.endswith(_KERAS_3):
        shutil.copyfile(str(weights), str(target))
        return
    try:
        with quiet():
            keras = build()
            keras.load_weights(str(weights))
            keras.save_weights(str(target))
    except (OSError, ValueError, KeyError, TypeError) as error:
        text = "{} does not fit {} ({})".format(weights.name, CONFIG_NAME, error)
        raise ModelError(text, "Copy the model anew.") from error


def _no_weights(source: Path) -> ModelError:
    code = sorted(each.name for each in source.iterdir() if each.suffix in RUNS_CODE)
    if code:
        return ModelError(
            "{} may hold code, which loading it would run; it is not loaded".format(code[0]),
            "Save the weights alone, with model.keras_model.save_weights('weights_best.h5').",
        )
    hint = "Look for weights_best.h5, and copy it beside {}.".format(CONFIG_NAME)
    return ModelError("there are no weights (*.h5) beside {}".format(CONFIG_NAME), hint)


def _row(number: int, row: Mapping[str, Optional[str]]) -> Optional[Dict[str, float]]:
    values = {ours: row.get(theirs) for theirs, ours in _COLUMNS.items()}
    if any(each is None for each in values.values()):
        return None
    return dict({name: float(value or "") for name, value in values.items()}, epoch=float(number))
