# SPDX-License-Identifier: BSD-3-Clause
"""Says why work broke off, in the JSON form of the contract's JobError: a code, what happened, what to do about it."""

from __future__ import annotations

import errno
import traceback
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Optional

from dl4mic_sdk.errors import MOST_FILES_NAMED, DataError, SdkError
from dl4mic_sdk.inputs import (
    UNREACHABLE,
    changed_files,
    missing_folder,
    missing_model,
    read_request,
)

Fault = Dict[str, Any]

_MEMORY_ERRORS = ("ResourceExhaustedError", "OutOfMemoryError")
"""Names of the frameworks' own errors: those of TensorFlow and PyTorch."""

_MEMORY_WORDS = ("out of memory", "can't allocate memory", "std::bad_alloc", "_ALLOC_FAILED")
"""What frameworks say where they have no error of their own for it: PyTorch, CUDA, cuDNN and cuBLAS."""

_CUT_SHORT = "requested and"
"""Of numpy's words, its error has no number, where not all of an array could be written: 9 requested and 5 written."""

_LOWERED = ("batch_size", "patch_size", "tile")
"""Parameters that set how much memory a job needs, in the order in which to lower them."""

_NOT_ALLOWED = (errno.EACCES, errno.EPERM, errno.EROFS)


def fault_of(error: BaseException, attempt_folder: Optional[Path] = None) -> Fault:
    """Say why a job failed.

    Parameters
    ----------
    error
        What was raised.
    attempt_folder
        Of the job: with it, the words name the parameters to lower, and the inputs that are not what they were.
    """
    request = read_request(attempt_folder) if attempt_folder is not None else {}
    chain = list(_causes(error))
    if any(_is_of_memory(each) for each in chain):
        return out_of_memory("memory ran out: {}".format(_first_line(error)), request)
    for each in chain:
        lacking = of_system(each) if isinstance(each, OSError) else None
        # An image that may not be read is the image's fault, which the error says already.
        if lacking is not None and not (isinstance(error, SdkError) and _is_of_rights(each)):
            return lacking
    lost = of_inputs(request, attempt_folder) if attempt_folder is not None else None
    if lost is not None and (lost["code"] != "INVALID_INPUT" or not isinstance(error, DataError)):
        return lost
    return _deliberate(error) if isinstance(error, SdkError) else _defect(error)


def of_system(error: OSError) -> Optional[Fault]:
    """Say what the system lacks; None for an error that is not of a full disk or a folder that cannot be used."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT) or _is_cut_short(error):
        return disk_full("the disk is full: {}".format(_named(error)))
    if error.errno == errno.ENOMEM:
        return out_of_memory("memory ran out: {}".format(_named(error)), {})
    if error.errno in UNREACHABLE:
        return volume_unavailable("a disk or share does not answer: {}".format(_named(error)))
    if _is_of_rights(error) and error.filename is not None:
        return volume_unavailable("a file or folder may not be used: {}".format(_named(error)))
    return None


def of_inputs(request: Mapping[str, Any], attempt_folder: Path) -> Optional[Fault]:
    """Say which inputs are not what they were when the data was checked; None when all are."""
    folder = missing_folder(request)
    if folder is not None and attempt_folder.parents[1] in folder.parents:
        message = "{} is gone, which another job had made".format(folder)
        return fault("DEPENDENCY_FAILED", message, "Run that job again, then retry this one.")
    if folder is not None:
        return volume_unavailable("the folder {} is not there".format(folder))
    model = missing_model(request)
    if model is not None:
        message = "the model {} is gone: its folder was deleted".format(model)
        return fault("INVALID_INPUT", message, "Choose another model, or train it anew.")
    changed = changed_files(attempt_folder)
    if not changed:
        return None
    message = "{} input file{} changed or deleted while the job ran".format(
        len(changed), " was" if len(changed) == 1 else "s were"
    )
    hint = "Leave the images as they are until the job has ended, then retry it."
    files = [{"path": path, "message": what} for path, what in changed[:MOST_FILES_NAMED]]
    return fault("INVALID_INPUT", message, hint, files=files, file_count=len(changed))


def out_of_memory(message: str, request: Mapping[str, Any]) -> Fault:
    """Name the parameters to lower, of those that the job has."""
    lower = [name for name in _LOWERED if name in request.get("parameters", {})]
    hint = "Use smaller images, or a machine with more memory."
    if lower:
        hint = "Lower {}; if that does not help, use smaller images.".format(" or ".join(lower))
    return fault("OUT_OF_MEMORY", message, hint)


def disk_full(message: str) -> Fault:
    """Say that there is no more room."""
    return fault("DISK_FULL", message, "Free some space, then retry the job.")


def volume_unavailable(message: str) -> Fault:
    """Say that a folder cannot be reached or used."""
    hint = "Have it mounted or its rights mended; the job goes on when it is usable again."
    return fault("VOLUME_UNAVAILABLE", message, hint)


def fault(code: str, message: str, hint: str, **more: Any) -> Fault:
    """Put a JobError together."""
    return dict(more, code=code, message=message, hint=hint)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error, and those that it was raised from."""
    seen: List[BaseException] = []
    cause: Optional[BaseException] = error
    while cause is not None and cause not in seen:
        seen.append(cause)
        yield cause
        cause = cause.__cause__


def _is_of_rights(error: BaseException) -> bool:
    return isinstance(error, OSError) and error.errno in _NOT_ALLOWED


def _is_cut_short(error: OSError) -> bool:
    return error.errno is None and _CUT_SHORT in str(error)


def _is_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError):
        return True
    if any(kind.__name__ in _MEMORY_ERRORS for kind in type(error).__mro__):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error) for word in _MEMORY_WORDS)


def _deliberate(error: SdkError) -> Fault:
    if not isinstance(error, DataError):
        return fault(error.code, error.message, error.hint)
    files = [{"path": path, "message": message} for path, message in error.files]
    return fault(error.code, error.message, error.hint, files=files, file_count=error.file_count)


def _defect(error: BaseException) -> Fault:
    where = ""
    if error.__traceback__ is not None:
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = " ({}, line {})".format(Path(last.filename).name, last.lineno)
    message = "{}: {}{}".format(type(error).__name__, _first_line(error), where)
    hint = "This is a defect of the network; the job's log has the details."
    return fault("INTERNAL", message, hint)


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]


def _named(error: OSError) -> str:
    words = error.strerror or str(error)
    return "{} ({})".format(words, error.filename) if error.filename else words
