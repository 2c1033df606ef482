# SPDX-License-Identifier: BSD-3-Clause
"""Words for what the orchestrator lacks: room on the disk, or a folder that it may use."""

from __future__ import annotations

import errno
import re
import shutil

from dl4mic.check import Refused
from dl4mic.server import DISK_FULL
from dl4mic.v1.job_pb2 import JobError

_UNUSABLE = frozenset(
    {errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO, errno.ENODEV, errno.ESTALE, errno.EHOSTDOWN}
)
"""Errors of the system for what is not mounted, does not answer, or may not be used."""


def first_of_copy(error: Exception) -> Exception:
    """Give what ``shutil.copytree`` met first, as the error that it was; anything else as it is.

    It goes on to the end, and then raises all that it met as a list of (from, to, words), without a number.
    """
    met = error.args[0] if isinstance(error, shutil.Error) else None
    if not isinstance(met, list) or not met:
        return error
    said = re.match(r"\[Errno (\d+)\] (.*)", met[0][-1], re.DOTALL)
    return OSError(int(said[1]), said[2]) if said else error


def disk_full(words: object) -> JobError:
    """Make the error of a job for which there was no room."""
    hint = "Free some space, then retry the job."
    return JobError(code=JobError.DISK_FULL, message=f"the disk is full: {words}", hint=hint)


def of_system(error: Exception) -> JobError | None:
    """Make the error of a job for a full disk, or for a folder of the workspace or a data root that cannot be used.

    A location that was good when the job was accepted and is refused now is on a root that is gone.
    """
    error = first_of_copy(error)
    number = getattr(error, "errno", None)
    if number in DISK_FULL:
        return disk_full(error)
    if not isinstance(error, Refused) and number not in _UNUSABLE:
        return None
    return JobError(
        code=JobError.VOLUME_UNAVAILABLE,
        message=f"a file or folder cannot be used: {error}",
        hint="Have it mounted or its rights mended; the job goes on when it is usable again.",
    )
