# SPDX-License-Identifier: BSD-3-Clause
"""`model.json`: where a model comes from; begun before the training, so that a crash leaves a record."""

from __future__ import annotations

import platform
import re
import sys
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Tuple

from dl4mic_sdk.device import Device
from dl4mic_sdk.errors import ModelError
from dl4mic_sdk.events import now
from dl4mic_sdk.job_folder import write_json
from dl4mic_sdk.task import MODEL_RECORD, ModelFolder
from dl4mic_sdk.versions import installed_versions

FORMAT = 1
"""Version of the record's own form."""

_WEIGHTS = re.compile(r"(best|last|[0-9]{1,9})$")
_KINDS: Mapping[str, Tuple[type, ...]] = {
    "parameters": (dict,),
    "data": (dict,),
    "split": (dict,),
    "versions": (dict,),
    "device": (dict,),
    "given": (list,),
    "citations": (list,),
    "weights": (list,),
    "licence": (str,),
    "channels": (int,),
    "parent": (dict, type(None)),
}
"""What readers of a record rely on, where it is there."""


def begin(
    request: Mapping[str, Any],
    model: Path,
    *,
    data: Mapping[str, Any],
    channels: int,
    split: Mapping[str, Any],
    parent: Optional[ModelFolder],
    device: Device,
) -> Dict[str, Any]:
    """Write down what a model is going to be made of.

    Parameters
    ----------
    request
        The job's, with the manifest of its network.
    model
        Folder of the model.
    data
        Summary and fingerprints of the training data.
    channels
        That its images have, and images for the model must have.
    split
        How the validation part was chosen.
    parent
        Model that the training starts from.
    device
        Where it is trained.

    Returns
    -------
    dict
        The record, for `complete`.
    """
    manifest = request["manifest"]
    record: Dict[str, Any] = {
        "format": FORMAT,
        "complete": False,
        "network": request["network"],
        "service": manifest["service"],
        "service_version": manifest["version"],
        "task": manifest["task"],
        "job": request["job_id"],
        "preset": request["preset"],
        "parameters": request["parameters"],
        "given": request["given"],
        "data": data,
        "channels": channels,
        "split": split,
        "parent": {"name": parent.name, "weights": parent.weights} if parent else None,
        "versions": _versions(manifest["packages"]),
        "device": {"kind": device.kind, "name": device.name},
        "licence": manifest["licence"],
        "citations": manifest.get("citations", []),
        "begin_time": now(),
    }
    write_json(model / MODEL_RECORD, record)
    return record


def complete(record: Mapping[str, Any], model: Path, seconds: float) -> Dict[str, Any]:
    """Finish the record of a trained model.

    Parameters
    ----------
    record
        What `begin` returned.
    model
        Folder of the model, with its weights.
    seconds
        That the training took.

    Returns
    -------
    dict
        The finished record.
    """
    finished = dict(
        record, complete=True, end_time=now(), seconds=seconds, weights=kept_weights(model)
    )
    write_json(model / MODEL_RECORD, finished)
    return finished


def imported(
    request: Mapping[str, Any], model: Path, *, origin: Mapping[str, str], said: Mapping[str, Any]
) -> Dict[str, Any]:
    """Write down what is known of a model that was not trained here.

    Parameters
    ----------
    request
        The job's, with the manifest of its network.
    model
        Folder of the model, with its weights.
    origin
        Format, name and SHA-256 of the file or folder that it came in.
    said
        What `Network.import_model` learned: ``parameters``, ``axes``, ``channels``, ``licence``,
        ``citations`` and what else the package states.

    Returns
    -------
    dict
        The finished record. Of the training data it says that nothing is known.
    """
    manifest, time = request["manifest"], now()
    record: Dict[str, Any] = {
        "format": FORMAT,
        "complete": True,
        "network": request["network"],
        "service": manifest["service"],
        "service_version": manifest["version"],
        "task": manifest["task"],
        "axes": manifest["axes"],
        "job": request["job_id"],
        "preset": "",
        "parameters": {},
        "given": request["given"],
        "data": {"summary": "unknown"},
        "split": {"mode": "unknown"},
        "parent": None,
        "versions": _versions(manifest["packages"]),
        "licence": "unknown",
        "citations": manifest.get("citations", []),
        "origin": origin,
        "import_time": time,
        "weights": kept_weights(model),
    }
    record.update({name: value for name, value in said.items() if value})
    write_json(model / MODEL_RECORD, record)
    return record


def _versions(packages: List[str]) -> Dict[str, str]:
    versions = installed_versions([*packages, "dl4mic-sdk"])
    versions["python"] = platform.python_version()
    versions["platform"] = "{} {}".format(sys.platform, platform.machine())
    return versions


def weights_of(model: ModelFolder) -> List[str]:
    """Return the names of a model's weights, after a look at a record that nobody here has written.

    Raises
    ------
    ModelError
        The record is not of the form that its readers rely on.
    """
    record = model.record
    wrong = [
        name
        for name, kinds in _KINDS.items()
        if not isinstance(record.get(name, kinds[0]()), kinds)
    ]
    if not wrong and not all(map(_is_plain, record.get("parameters", {}).values())):
        wrong = ["parameters"]
    if not wrong and not all(map(_is_file_fact, record.get("data", {}).get("files", ()))):
        wrong = ["data"]
    names = list(dict.fromkeys(map(str, () if wrong else record.get("weights", ()))))
    if not names or not all(map(_WEIGHTS.match, names)):
        wrong = [*wrong, "weights"]
    if wrong:
        text = "model {}: in its {}, {} cannot be as they are"
        raise ModelError(
            text.format(model.name, MODEL_RECORD, " and ".join(wrong)),
            "Import a model whose training was finished, and whose record is as the training left it.",
        )
    return names


def _is_plain(value: Any) -> bool:
    if isinstance(value, list):
        return all(_is_plain(each) and not isinstance(each, list) for each in value)
    small = not isinstance(value, int) or abs(value) < 1 << 63
    return value is None or (isinstance(value, (bool, int, float, str)) and small)


def _is_file_fact(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(value.get(name), str) for name in ("path", "role", "sha256")
    )


def kept_weights(model: Path) -> List[str]:
    """List the weights that lie in a model folder: best, last, epoch numbers."""
    stems = sorted(path.name.split(".")[0] for path in model.glob("weights_*"))
    names = [stem[len("weights_") :] for stem in stems]
    return [
        str(int(name[len("epoch_") :])) if name.startswith("epoch_") else name for name in names
    ]
