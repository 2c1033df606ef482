# SPDX-License-Identifier: BSD-3-Clause
"""A model that other people bring: a folder or a ZIP archive that nobody has looked at yet."""

from __future__ import annotations

import fnmatch
import hashlib
import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Iterator, List, Mapping, Set, Tuple

from dl4mic_sdk import archive
from dl4mic_sdk.errors import ModelError
from dl4mic_sdk.task import MODEL_RECORD

OWN_FORMAT = "dl4mic"
"""The format that every network takes and gives: its model folder as it is."""

_BLOCK_BYTES = 1 << 20
_MAC_FOLDER = "__MACOSX"
"""What macOS adds to archives."""


def check_source(request: Mapping[str, Any]) -> str:
    """Look at the source of an import without reading what is in its files; return its format.

    Raises
    ------
    ModelError
        It is gone, no folder or sound ZIP archive, leads out of itself, or is of no format that the network imports.
    """
    source = Path(request["source"])
    if source.is_dir():
        names = [name for _, name in files_of(source)]
    elif source.is_file():
        names = archive.check_archive(source)
    else:
        message = "{}: there is no such file or folder any more".format(source)
        raise ModelError(message, "Name the model's folder, or a ZIP archive of it.")
    return recognised(_inside(names), request)


@contextmanager
def opened(source: Path, work: Path) -> Iterator[Path]:
    """Give the folder of a source's files, unpacked below `work` for as long as it is needed."""
    if source.is_dir():
        list(files_of(source))
        yield _innermost(source)
        return
    shutil.rmtree(str(work), ignore_errors=True)
    work.mkdir(parents=True)
    try:
        archive.unpack(source, work)
        yield _innermost(work)
    finally:
        shutil.rmtree(str(work), ignore_errors=True)


def recognised(names: Set[str], request: Mapping[str, Any]) -> str:
    """Return the format that was asked for, or else the first one whose files are all there.

    Parameters
    ----------
    names
        Of the files in the model's folder.
    request
        Content of `request.json`. A format of its manifest says by ``holds`` which files tell it: a list of patterns
        like ``weights_*.h5``, alternatives parted by ``|``.
    """
    formats = request["manifest"].get("formats", {})
    known = {name: each.get("holds", ()) for name, each in formats.items() if each.get("imported")}
    known = dict({OWN_FORMAT: (MODEL_RECORD,)}, **known)
    if request["format"]:
        _refuse_unless_holding(request["format"], known[request["format"]], names)
        return str(request["format"])
    for name, patterns in known.items():
        if patterns and all(_holds(names, each) for each in patterns):
            return name
    told = "; ".join("{}: {}".format(name, ", ".join(each)) for name, each in known.items())
    raise ModelError(
        "the model is of no format that {} imports ({})".format(
            request["network"], ", ".join(known)
        ),
        "Each format is known by files at the top of the folder: {}.".format(
            told.replace("|", " or ")
        ),
    )


def files_of(folder: Path) -> Iterator[Tuple[Path, str]]:
    """Yield (path, name below the folder) of its files, by name.

    Raises
    ------
    ModelError
        A link leads out of the folder, or there are too many files.
    """
    root, count = folder.resolve(), 0
    for name in sorted(_walk(folder)):
        path, count = folder / name, count + 1
        if root not in path.resolve().parents:
            raise ModelError(
                "{}: the link {} leads out of the folder".format(folder, name),
                "Put the file itself there.",
            )
        if count > archive.MOST_FILES:
            message = "{}: more than {} files".format(folder, archive.MOST_FILES)
            raise ModelError(message, "Name the folder of the model alone.")
        yield path, name


def digest_of(source: Path) -> str:
    """SHA-256 of a file; of a folder, over the names and contents of its files."""
    if source.is_file():
        return _digest_of_file(source).hex()
    digest = hashlib.sha256()
    for path, name in files_of(source):
        digest.update(name.encode("utf-8") + b"\0")
        digest.update(_digest_of_file(path))
    return digest.hexdigest()


def _walk(folder: Path) -> Iterator[str]:
    for parent, _, names in os.walk(str(folder)):
        for name in names:
            path = Path(parent, name)
            if path.is_file():
                yield path.relative_to(folder).as_posix()


def _refuse_unless_holding(name: str, patterns: List[str], names: Set[str]) -> None:
    missing = [each for each in patterns if not _holds(names, each)]
    if missing:
        raise ModelError(
            "a model of the format {} holds {}, which is not there".format(
                name, " and ".join(missing).replace("|", " or ")
            ),
            "Name the folder that holds it, or another format.",
        )


def _holds(names: Set[str], pattern: str) -> bool:
    return any(fnmatch.filter(names, each) for each in pattern.split("|"))


def _inside(names: List[str]) -> Set[str]:
    """Take the one folder off that all files lie in, as archives often have it."""
    kept = {name for name in names if not name.startswith(_MAC_FOLDER + "/")}
    tops = {name.partition("/")[0] for name in kept}
    if len(tops) == 1 and all("/" in name for name in kept):
        return _inside([name.partition("/")[2] for name in kept])
    return kept


def _innermost(folder: Path) -> Path:
    entries = [each for each in folder.iterdir() if each.name != _MAC_FOLDER]
    if len(entries) == 1 and entries[0].is_dir():
        return _innermost(entries[0])
    return folder


def _digest_of_file(path: Path) -> bytes:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for block in iter(lambda: file.read(_BLOCK_BYTES), b""):
            digest.update(block)
    return digest.digest()
