# SPDX-License-Identifier: BSD-3-Clause
"""Publish, find and delete models: immutable versions whose content is checked whenever it is read."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dl4mic_orchestrator.records import Model, Scores
from dl4mic_orchestrator.registry.content import Content, digest_of_folder, size_of_folder
from dl4mic_orchestrator.store.models import ModelStore

RECORD_FILE = "model.json"


class BrokenModelError(Exception):
    """A model's content is not what was published, or is no model."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What a new version is and where it comes from."""

    name: str
    network: str
    project: str
    job_id: str = ""


class Registry:
    """The models of a workspace: rows in the store, content beside it."""

    def __init__(self, rows: ModelStore, content: Content) -> None:
        self.rows = rows
        self._content = content

    def publish(self, folder: Path, origin: Origin) -> Model:
        """Make a model folder the next version of its name.

        For the same job it does so once, however often it is called and wherever it was interrupted: the row is
        complete only after the content was copied and its digest verified.

        Raises
        ------
        BrokenModelError
            The folder is no finished model, or was changed while it was copied.
        """
        record = _read_record(folder)
        model = self.rows.reserve(
            Model(origin.name, 0, origin.network, origin.project, time.time(), origin.job_id)
        )
        if model.complete:
            return model
        digest = digest_of_folder(folder)
        copy = self._content.put(model.tag, folder)
        if digest_of_folder(copy) != digest:
            raise BrokenModelError(f"{folder} changed while it was copied; publish it again")
        parent = (record.get("parent") or {}).get("name", "")
        text = json.dumps(record)
        model = replace(model, size=size_of_folder(copy), digest=digest, parent=parent, record=text)
        self.rows.complete(model)
        return model

    def folder(self, model: Model) -> Path:
        """Give the folder of a model, after its content was checked.

        Raises
        ------
        BrokenModelError
            The content is missing or was changed.
        """
        folder = self.locate(model)
        if digest_of_folder(folder) != model.digest:
            raise BrokenModelError(
                f"the content of model {model.tag} was changed after it was published: {folder}"
            )
        return folder

    def locate(self, model: Model) -> Path:
        """Give the folder of a model whose content nobody is about to read.

        Raises
        ------
        BrokenModelError
            It is missing.
        """
        try:
            return self._content.path(model.tag)
        except LookupError as error:
            raise BrokenModelError(str(error)) from error

    def delete(self, model: Model) -> int:
        """Delete a version; return the bytes that are free now."""
        self.rows.delete(model)
        self._content.delete(model.tag)
        return model.size

    def sweep(self, open_jobs: set[str]) -> None:
        """Remove what publications that nobody goes on with left behind."""
        for model in self.rows.unfinished():
            if model.job_id not in open_jobs:
                self.rows.delete(model)
                self._content.delete(model.tag)

    def add_scores(self, job_id: str, artifacts: Path, digests: Mapping[str, str]) -> None:
        """Keep the scores of a QC job by the digest of each model that it scored.

        Parameters
        ----------
        artifacts
            What the job published; its qc.json is read.
        digests
            Name of the model, as in qc.json -> digest.
        """
        report = _read_json(artifacts / "qc.json")
        for name, values in _scores_by_model(report, list(digests)).items():
            numbers = {
                key: float(value)
                for key, value in values.items()
                if isinstance(value, (int, float)) and math.isfinite(value)
            }
            if numbers:
                self.rows.add_scores(Scores(digests[name], job_id, time.time(), numbers))


def _read_record(folder: Path) -> dict[str, Any]:
    path = folder / RECORD_FILE
    try:
        record = _read_json(path)
    except (OSError, ValueError) as error:
        raise BrokenModelError(
            f"there is no readable {RECORD_FILE}, which every model has: {error}"
        ) from error
    if not isinstance(record, dict) or not record.get("network"):
        raise BrokenModelError(f"{RECORD_FILE} does not name the network that the model is of")
    return record


def _read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _scores_by_model(report: Mapping[str, Any], names: list[str]) -> dict[str, Mapping[str, Any]]:
    """Read the pooled scores: of the one model, or of each in `models`, which come best first.

    Of several sets of weights of a model those of "best" count, which it predicts with unless it is asked for others;
    without these, the highest rank.
    """
    entries = [each for each in reversed(report.get("models", [])) if isinstance(each, dict)]
    entries.sort(key=lambda each: each.get("weights") == "best")
    found: dict[str, Mapping[str, Any]] = {
        each["name"]: each["pooled"]
        for each in entries
        if each.get("name") in names and isinstance(each.get("pooled"), dict)
    }
    if not found and len(names) == 1 and isinstance(report.get("pooled"), dict):
        return {names[0]: report["pooled"]}
    return found
