# SPDX-License-Identifier: BSD-3-Clause
"""Are data set and models fit for this network? Asked before a framework is loaded or a GPU is waited for.

``python -m dl4mic_sdk.data_check ATTEMPT_FOLDER`` writes `data.json`, or `data_fault.json` and exits with 3.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Set

from dl4mic_sdk.data_rules import TARGETS_OF_IMAGES, Need, supervision_of
from dl4mic_sdk.data_summary import DataSummary, stat_of
from dl4mic_sdk.dataset_reader import Dataset, DatasetReader
from dl4mic_sdk.diagnosis import fault_of
from dl4mic_sdk.errors import DataError, SdkError
from dl4mic_sdk.images import list_images
from dl4mic_sdk.inputs import SUMMARY_FILE
from dl4mic_sdk.job_folder import EXIT_FAULT, EXIT_OF_CODE, REQUEST_FILE, read_json, write_json
from dl4mic_sdk.model_check import check_models
from dl4mic_sdk.model_source import check_source
from dl4mic_sdk.prediction_check import check_predictions
from dl4mic_sdk.split import split_by_parameters
from dl4mic_sdk.task import ModelFolder
from dl4mic_sdk.unlike_training import about_training_data

__all__ = ["DataSummary", "check_data", "main"]

FAULT_FILE = "data_fault.json"

_FORMAT = 1
_DECIDING = ("verb", "data", "validation", "prediction", "parameters")
"""What of a request the result depends on, beside the files, the manifest's axes and the models' channels."""


def check_data(request: Mapping[str, Any], attempt_folder: Optional[Path] = None) -> DataSummary:
    """Check the data of a request, or take over what an earlier check of the same files found.

    Parameters
    ----------
    request
        Content of `request.json`.
    attempt_folder
        Where `data.json` is looked for and put; the attempt before, if the request names one, is looked into too.

    Raises
    ------
    DataError
        The data cannot be used; all files at fault are named.
    ModelError
        A model that the request names, or that is to be imported, cannot be used.

    Notes
    -----
    For a prediction only headers are read, and a part of a few images to compare them with those of the training;
    single bad files do not keep the others from being predicted. One pair of images is held at a time, whatever their
    number.
    """
    channels = check_models(request)
    if request["verb"] == "import_model":
        check_source(request)
    if "data" not in request:
        return DataSummary("none", ())
    asked = _asked(request, channels)
    here = _known(request, asked, attempt_folder)
    if here is not None:
        return here
    before = Path(request["previous"]) if request.get("previous") else None
    summary = _known(request, asked, before) or _checked(request, channels)
    if attempt_folder is not None:
        record = {"format": _FORMAT, "asked": asked, "summary": summary.as_record()}
        write_json(attempt_folder / SUMMARY_FILE, record)
    return summary


def main(arguments: List[str]) -> int:
    """Check the data of an attempt folder; return the exit status."""
    attempt_folder = Path(arguments[0])
    fault_file = attempt_folder / FAULT_FILE
    if fault_file.exists():
        fault_file.unlink()
    try:
        check_data(read_json(attempt_folder / REQUEST_FILE), attempt_folder)
    except (SdkError, OSError, MemoryError) as error:
        return _give_up(fault_file, fault_of(error, attempt_folder))
    return 0


def _checked(request: Mapping[str, Any], channels: Mapping[str, int]) -> DataSummary:
    if request.get("prediction"):
        return check_predictions(request)
    reader = DatasetReader(Need.of(request, channels))
    dataset = Dataset.of(request["data"])
    items = reader.read(dataset)
    if request["verb"] == "predict":
        if all(each.fault for each in items):
            reader.faults.raise_if_any(len(items))
        return _compared(reader.summary(items), request)
    targets = reader.read_targets(dataset)
    apart = request.get("validation")
    validation = reader.read(Dataset.of(apart)) if apart else ()
    reader.check_together()
    reader.faults.raise_if_any(reader.file_count)
    if request["verb"] == "train" and not apart:
        split_by_parameters(items, request["parameters"])
    return reader.summary(items, targets=targets, validation=validation)


def _compared(summary: DataSummary, request: Mapping[str, Any]) -> DataSummary:
    """Add in what the images of a prediction are unlike those that its model was trained on."""
    for each in request.get("models") or ():
        record = ModelFolder.open(
            each["name"], Path(each["folder"]), each["weights"], request["network"]
        ).record
        trained_on = record.get("data", {})
        summary = summary.with_warnings(*about_training_data(summary, each["name"], trained_on))
    return summary


def _asked(request: Mapping[str, Any], channels: Mapping[str, int]) -> Dict[str, Any]:
    asked = {name: request.get(name) for name in _DECIDING}
    axes = request["manifest"].get("axes")
    models = [each["name"] for each in request.get("models") or ()]
    supervision = supervision_of(request)
    return dict(asked, supervision=supervision, axes=axes, channels=channels, models=models)


def _known(
    request: Mapping[str, Any], asked: Mapping[str, Any], attempt_folder: Optional[Path]
) -> Optional[DataSummary]:
    """Return what an earlier check found, if it was asked the same and no file has changed."""
    if attempt_folder is None:
        return None
    try:
        record = read_json(attempt_folder / SUMMARY_FILE)
    except (OSError, ValueError):
        return None
    if record["format"] != _FORMAT or record["asked"] != asked:
        return None
    summary = DataSummary.from_record(record["summary"])
    return summary if _unchanged(summary, request) else None


def _unchanged(summary: DataSummary, request: Mapping[str, Any]) -> bool:
    known = {each.path: (each.size, each.mtime_ns) for each in summary.files}
    try:
        return _listed(request) == known.keys() and all(
            stat_of(path) == status for path, status in known.items()
        )
    except (OSError, DataError):
        return False


def _listed(request: Mapping[str, Any]) -> Set[str]:
    """Paths of the files that a check would look at now."""
    supervision = supervision_of(request)
    listed: Set[str] = set()
    for data in filter(None, (request["data"], request.get("validation"))):
        if data["source"]:
            listed.update(map(str, list_images(data["source"])))
        if data.get("target") and supervision in TARGETS_OF_IMAGES:
            listed.update(map(str, list_images(data["target"])))
    if request.get("prediction"):
        listed.update(map(str, list_images(request["prediction"])))
    return listed


def _give_up(fault_file: Path, fault: Mapping[str, Any]) -> int:
    try:
        write_json(fault_file, fault)
    except OSError:  # a full disk: the status says it, too
        return EXIT_OF_CODE.get(fault["code"], 1)
    return EXIT_FAULT


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
