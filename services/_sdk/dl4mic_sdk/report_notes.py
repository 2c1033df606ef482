# SPDX-License-Identifier: BSD-3-Clause
"""What a network tells the training report: values that it chose, examples of what it was shown, warnings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, List, Mapping, Sequence, Tuple

import numpy as np

from dl4mic_sdk.job_folder import write_json

MOST_EXAMPLES = 4

_CHOICES_FILE = "report_choices.json"
_EXAMPLES_FILE = "report_examples.npz"
_WARNINGS_FILE = "report_warnings.json"

Pair = Tuple[np.ndarray, np.ndarray]


def note_choices(attempt_folder: Path, choices: Mapping[str, Any]) -> None:
    """Write down the values of parameters that were left to the network.

    Parameters
    ----------
    attempt_folder
        ``ctx.attempt_folder``.
    choices
        Name of the parameter -> value as JSON has it. Later calls add to earlier ones.
    """
    write_json(attempt_folder / _CHOICES_FILE, dict(read_choices(attempt_folder), **choices))


def left_open(parameters: Mapping[str, Any], chosen: Mapping[str, Any]) -> Dict[str, Any]:
    """Return of what a network uses the values whose parameters were left to it."""
    return {name: value for name, value in chosen.items() if parameters.get(name, "") is None}


def note_examples(attempt_folder: Path, pairs: Sequence[Pair]) -> None:
    """Keep augmented patches for the report's picture; only the first four are shown.

    Parameters
    ----------
    attempt_folder
        ``ctx.attempt_folder``.
    pairs
        (image, target) as the network is shown them, of axes YX or ZYX, all of one shape. A target
        of an integer type is drawn as objects.
    """
    arrays: Dict[str, Any] = {}
    for index, (image, target) in enumerate(pairs[:MOST_EXAMPLES]):
        arrays["image{}".format(index)], arrays["target{}".format(index)] = image, target
    partial = attempt_folder / ("." + _EXAMPLES_FILE)
    with partial.open("wb") as file:
        np.savez_compressed(file, **arrays)
    partial.replace(attempt_folder / _EXAMPLES_FILE)


def note_warning(attempt_folder: Path, code: str, message: str) -> None:
    """Write down what a reader of the report must know of the training, beside what data and loss record say.

    Parameters
    ----------
    attempt_folder
        ``ctx.attempt_folder``.
    code, message
        As `Context.warning` is told them, which the report does not read.
    """
    noted = [*read_warnings(attempt_folder), (code, message)]
    write_json(attempt_folder / _WARNINGS_FILE, {"warnings": noted})


def read_choices(attempt_folder: Path) -> Dict[str, Any]:
    """Return what `note_choices` wrote down; nothing if it was not called."""
    path = attempt_folder / _CHOICES_FILE
    if not path.exists():
        return {}
    choices: Dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return choices


def read_examples(attempt_folder: Path) -> List[Pair]:
    """Return what `note_examples` kept; nothing if it was not called."""
    path = attempt_folder / _EXAMPLES_FILE
    if not path.exists():
        return []
    with np.load(str(path), allow_pickle=False) as arrays:
        count = len(arrays.files) // 2
        return [(arrays["image{}".format(i)], arrays["target{}".format(i)]) for i in range(count)]


def read_warnings(attempt_folder: Path) -> List[Tuple[str, str]]:
    """Return what `note_warning` wrote down; nothing if it was not called."""
    path = attempt_folder / _WARNINGS_FILE
    if not path.exists():
        return []
    noted = json.loads(path.read_text(encoding="utf-8"))["warnings"]
    return [(str(code), str(message)) for code, message in noted]
