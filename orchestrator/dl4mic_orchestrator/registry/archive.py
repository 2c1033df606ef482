# SPDX-License-Identifier: BSD-3-Clause
"""Pack a model folder into a ZIP archive, and unpack one without trusting it."""

from __future__ import annotations

import shutil
import stat
import zipfile
from pathlib import Path, PurePosixPath

from dl4mic_orchestrator.registry.content import files_of

LARGEST_UNPACKED_BYTES = 16 << 30
MOST_FILES = 10_000


class ArchiveError(ValueError):
    """An archive that is none, or that is refused."""


def pack(folder: Path, archive: Path) -> None:
    """Write a model folder's files into an archive; weights do not compress, so they are stored as they are."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as packed:
        for path in files_of(folder):
            packed.write(path, path.relative_to(folder).as_posix())


def unpack(archive: Path, folder: Path) -> None:
    """Unpack an archive into an empty folder.

    Raises
    ------
    ArchiveError
        It is no ZIP archive, holds links or paths that lead out of the folder, or would be too large.
    """
    try:
        with zipfile.ZipFile(archive) as packed:
            entries = packed.infolist()
            _check(entries)
            for entry in entries:
                _extract(packed, entry, folder)
    except zipfile.BadZipFile as error:
        raise ArchiveError(f"{archive.name} is no ZIP archive: {error}") from error


def _check(entries: list[zipfile.ZipInfo]) -> None:
    if len(entries) > MOST_FILES:
        raise ArchiveError(
            f"the archive holds {len(entries)} files; at most {MOST_FILES} are taken"
        )
    if sum(entry.file_size for entry in entries) > LARGEST_UNPACKED_BYTES:
        raise ArchiveError(
            f"the archive is larger than {LARGEST_UNPACKED_BYTES >> 30} GiB when it is unpacked"
        )
    for entry in entries:
        path = PurePosixPath(entry.filename)
        if path.is_absolute() or ".." in path.parts or "\\" in entry.filename:
            raise ArchiveError(f"the archive's {entry.filename!r} leads out of its folder")
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise ArchiveError(f"the archive's {entry.filename!r} is a link")


def _extract(packed: zipfile.ZipFile, entry: zipfile.ZipInfo, folder: Path) -> None:
    target = folder / entry.filename
    if entry.is_dir():
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with packed.open(entry) as source, target.open("wb") as sink:
        shutil.copyfileobj(source, sink)
