# SPDX-License-Identifier: BSD-3-Clause
"""Looks whether a job's inputs are still what they were when its data was checked."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Optional, Tuple

from dl4mic_sdk.job_folder import REQUEST_FILE, read_json

SUMMARY_FILE = "data.json"
"""What the data check found, in an attempt's folder."""

UNREACHABLE = frozenset(
    {
        errno.EIO,
        errno.ENODEV,
        errno.ENXIO,
        errno.ESTALE,
        errno.ENOTCONN,
        errno.ETIMEDOUT,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
    }
)
"""Errors of the system with which a disk, share or mount fails that is not there."""

GONE, CHANGED = "was deleted while the job ran", "was changed while the job ran"


def missing_folder(request: Mapping[str, Any]) -> Optional[Path]:
    """Return the first folder of images that a request names and that cannot be reached, else None."""
    for folder in _folders(request):
        try:
            os.stat(str(folder))
        except OSError as error:
            if error.errno in UNREACHABLE or error.errno == errno.ENOENT:
                return folder
    return None


def missing_model(request: Mapping[str, Any]) -> Optional[str]:
    """Return the name of the first model that a request names and whose folder is gone, else None."""
    for model in [*request.get("models", ()), request.get("parent")]:
        if model and not os.path.isdir(model["folder"]):
            return str(model["name"])
    return None


def changed_files(attempt_folder: Path) -> List[Tuple[str, str]]:
    """Return (path, what happened to it) of the files that are not as the data check found them."""
    return [
        (path, CHANGED if now else GONE)
        for path, then, now in _compared(attempt_folder)
        if now != then
    ]


def read_request(attempt_folder: Path) -> Dict[str, Any]:
    """Read what the worker was to do; empty where that cannot be read."""
    try:
        request: Dict[str, Any] = read_json(attempt_folder / REQUEST_FILE)
    except (OSError, ValueError):
        return {}
    return request


def _folders(request: Mapping[str, Any]) -> Iterator[Path]:
    for data in (request.get("data"), request.get("validation")):
        for name in ("source", "target"):
            if data and data.get(name):
                yield Path(data[name])
    for name in ("prediction", "source"):
        if request.get(name):
            yield Path(request[name])


def _compared(
    attempt_folder: Path,
) -> Iterator[Tuple[str, Tuple[int, int], Optional[Tuple[int, int]]]]:
    """Yield (path, status then, status now or None) of each file."""
    try:
        files = read_json(attempt_folder / SUMMARY_FILE)["summary"]["files"]
    except (OSError, ValueError, KeyError):
        return
    for each in files:
        try:
            status = os.stat(each["path"])
            now: Optional[Tuple[int, int]] = (status.st_size, status.st_mtime_ns)
        except OSError:
            now = None
        yield each["path"], (each["size"], each["mtime_ns"]), now
