# SPDX-License-Identifier: BSD-3-Clause
"""Packs a folder into a ZIP archive, and unpacks one without trusting it."""

from __future__ import annotations

import errno
import shutil
import stat
import zipfile
import zlib
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Iterable, Iterator, List, Tuple

from dl4mic_sdk.errors import ModelError

MOST_FILES = 10_000
LARGEST_BYTES = 16 << 30

_TRUSTED_BYTES = 256 << 20
_MOST_EXPANSION = 100
"""Weights hardly compress; what expands more than this, and to more than a little, is made to fill the disk."""

_BROKEN = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,  # an unknown compression
    RuntimeError,  # a password
    UnicodeDecodeError,
    ValueError,
)


def pack(files: Iterable[Tuple[Path, str]], archive: Path) -> None:
    """Write (file, name in the archive) into a ZIP archive; weights do not compress, so they are stored as they are."""
    with zipfile.ZipFile(str(archive), "w", zipfile.ZIP_STORED) as packed:
        for path, name in files:
            packed.write(str(path), name)


def check_archive(archive: Path) -> List[str]:
    """Look at what an archive says that it holds, and return the names of its files.

    Raises
    ------
    ModelError
        It is no ZIP archive; it holds links, or paths that lead out of the folder; or it would be too large.
    """
    with _blaming(archive), zipfile.ZipFile(str(archive)) as packed:
        files = _checked(packed.infolist(), archive)
        return [str(PurePosixPath(entry.filename)) for entry in files]


def unpack(archive: Path, folder: Path) -> None:
    """Unpack an archive into an empty folder; errors as of `check_archive`, and where a file in it is damaged."""
    with _blaming(archive), zipfile.ZipFile(str(archive)) as packed:
        for entry in _checked(packed.infolist(), archive):
            target = folder / entry.filename
            target.parent.mkdir(parents=True, exist_ok=True)
            with packed.open(entry) as source, target.open("wb") as sink:
                shutil.copyfileobj(source, sink)


@contextmanager
def _blaming(archive: Path) -> Iterator[None]:
    """Turn what a damaged archive raises into the error of a model."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise _unsound(archive, error) from error
    except _BROKEN as error:
        raise _unsound(archive, error) from error


def _unsound(archive: Path, error: Exception) -> ModelError:
    return ModelError(
        "{}: this is no sound ZIP archive ({})".format(archive.name, error),
        "Name the model's folder, or a ZIP archive of it; if it is one, copy it anew.",
    )


def _checked(entries: List[zipfile.ZipInfo], archive: Path) -> List[zipfile.ZipInfo]:
    """Return the files among the entries."""
    for fault in _faults(entries, archive):
        raise ModelError(
            "{}: {}; it is not unpacked".format(archive.name, fault),
            "Make the archive anew from the model's folder.",
        )
    return [entry for entry in entries if not entry.filename.endswith("/")]


def _faults(entries: List[zipfile.ZipInfo], archive: Path) -> Iterator[str]:
    if len(entries) > MOST_FILES:
        yield "it holds {} files; at most {} are taken".format(len(entries), MOST_FILES)
    size = sum(entry.file_size for entry in entries)
    most = min(LARGEST_BYTES, max(_TRUSTED_BYTES, _MOST_EXPANSION * archive.stat().st_size))
    if size > most:
        yield "it would grow to {} MiB; from its size at most {} are believed".format(
            size >> 20, most >> 20
        )
    names = {entry.filename for entry in entries}
    if len(names) < len(entries):
        yield "it names a file twice"
    for entry in entries:
        path = PurePosixPath(entry.filename)
        if (
            path.is_absolute()
            or ".." in path.parts
            or "\\" in entry.filename
            or any(":" in each for each in path.parts[:1])  # "./" has none
        ):
            yield "{!r} in it leads out of its folder".format(entry.filename)
        if not path.parts and not entry.filename.endswith("/"):
            yield "an entry in it names no file"
        if stat.S_ISLNK(entry.external_attr >> 16):
            yield "{!r} in it is a link".format(entry.filename)
        if any(str(parent) in names for parent in path.parents):
            yield "{!r} in it lies below another file".format(entry.filename)
