# SPDX-License-Identifier: BSD-3-Clause
"""Keep the content of models in BentoML's model store, and digest it."""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

_OF_THE_STORE = "model.yaml"
"""BentoML's own record, which it adds to the folder; no part of the model."""

_BLOCK_BYTES = 1 << 20


class Content(Protocol):
    """Holds the folder of each version of each model."""

    def put(self, tag: str, folder: Path) -> Path:
        """Copy a folder in under ``NAME:VERSION``, in place of what is there; return where it lies."""

    def path(self, tag: str) -> Path:
        """Tell where a version lies; raise LookupError when it is not there."""

    def delete(self, tag: str) -> None:
        """Remove a version, if it is there."""


class BentoContent:
    """BentoML's model store in a folder of ours.

    Its publication is not atomic, and it does not check what it holds: one process writes, the rows of our store are
    the truth, and digests are checked by whoever reads. BentoML is imported on first use (a second), and kept from
    telling anybody that it was.
    """

    def __init__(self, home: Path) -> None:
        self._home = home
        self._lock = threading.Lock()

    def put(self, tag: str, folder: Path) -> Path:
        """Copy a folder in under ``NAME:VERSION``, in place of what is there; return where it lies."""
        with self._lock:
            store = self._store()
            self._delete(store, tag)
            import bentoml

            with bentoml.models.create(tag, _model_store=store) as model:
                shutil.copytree(folder, model.path, dirs_exist_ok=True)
        return self.path(tag)

    def path(self, tag: str) -> Path:
        """Tell where a version lies; raise LookupError when it is not there."""
        # The layout is read without BentoML: predicting with a model need not wait for its import.
        name, _, version = tag.partition(":")
        path = self._models / name / version
        if not (path / _OF_THE_STORE).exists():
            raise LookupError(f"the content of model {tag} is missing from the workspace: {path}")
        return path

    def delete(self, tag: str) -> None:
        """Remove a version, if it is there."""
        with self._lock:
            self._delete(self._store(), tag)

    @property
    def _models(self) -> Path:
        return self._home / "models"

    def _delete(self, store: Any, tag: str) -> None:
        name, _, version = tag.partition(":")
        half_published = self._models / name / version
        if (half_published / _OF_THE_STORE).exists():
            store.delete(tag)
        shutil.rmtree(half_published, ignore_errors=True)

    def _store(self) -> Any:
        os.environ["BENTOML_DO_NOT_TRACK"] = "True"
        os.environ["BENTOML_HOME"] = str(self._home)
        self._models.mkdir(parents=True, exist_ok=True)
        from bentoml._internal.models import ModelStore

        return ModelStore(self._models)


def digest_of_folder(folder: Path) -> str:
    """Digest names and content of all files of a model folder: ``sha256:...``; what the store added is left out."""
    digest = hashlib.sha256()
    for path in files_of(folder):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0")
        digest.update(_digest_of_file(path))
    return f"sha256:{digest.hexdigest()}"


def files_of(folder: Path) -> Iterator[Path]:
    """Iterate over the files of a model folder, by path."""
    for path in sorted(folder.rglob("*"), key=lambda path: path.relative_to(folder).as_posix()):
        if path.is_file() and path != folder / _OF_THE_STORE:
            yield path


def size_of_folder(folder: Path) -> int:
    """Sum up the bytes of a folder's files."""
    return sum(
        path.stat().st_size
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink()
    )


def _digest_of_file(path: Path) -> bytes:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.digest()
