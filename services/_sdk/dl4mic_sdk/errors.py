# SPDX-License-Identifier: BSD-3-Clause
"""The errors that a network and the SDK raise on purpose.

SdkError
├── DataError      the data is at fault             -> INVALID_INPUT
├── ImageError     one image file is at fault       -> INVALID_INPUT
├── ModelError     a model folder is at fault       -> INVALID_INPUT
└── DeviceError    the asked device cannot be used  -> GPU_UNUSABLE
Stopped            the worker was asked to stop; not an error

Every other exception is a defect and ends the attempt with INTERNAL.
"""

from __future__ import annotations

from pathlib import Path
from typing import Sequence, Tuple, Union

MOST_FILES_NAMED = 100


class SdkError(Exception):
    """Something that a user can mend.

    Parameters
    ----------
    message
        What is wrong, naming the file, folder or parameter.
    hint
        What would be right, for a biologist.
    """

    code = "INVALID_INPUT"

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class DataError(SdkError):
    """The data set cannot be used.

    Parameters
    ----------
    message, hint
        As of `SdkError`.
    files
        (path, what is wrong with it) of the files at fault; only the first 100 are kept.
    file_count
        How many files are at fault in all; the length of `files` when left out.
    """

    def __init__(
        self,
        message: str,
        hint: str = "",
        files: Sequence[Tuple[str, str]] = (),
        file_count: int = 0,
    ) -> None:
        super().__init__(message, hint)
        self.files = list(files[:MOST_FILES_NAMED])
        self.file_count = file_count or len(files)


class ImageError(SdkError):
    """One image file cannot be read or used.

    Parameters
    ----------
    path
        The file.
    message, hint
        As of `SdkError`; the path is put before the message.
    """

    def __init__(self, path: Union[str, Path], message: str, hint: str = "") -> None:
        super().__init__("{}: {}".format(path, message), hint)
        self.path = Path(path)
        self.fault = message


class ModelError(SdkError):
    """A model folder is damaged, incomplete, or of another network."""


class DeviceError(SdkError):
    """The device that the job asked for cannot be used."""

    code = "GPU_UNUSABLE"


class Stopped(Exception):
    """The worker was asked to stop and has put its work into a resumable state."""
