# SPDX-License-Identifier: BSD-3-Clause
"""The training report, begun before the training and completed after it, so that a crash leaves a record.

`training.json` for programs, `training.csv` with one row an epoch, `report.pdf` for people.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, List, Mapping, Sequence

from dl4mic_sdk.events import read_events
from dl4mic_sdk.job_folder import write_json
from dl4mic_sdk.qc.warning_rules import about_loss
from dl4mic_sdk.report_notes import read_choices, read_warnings
from dl4mic_sdk.training import read_history

if TYPE_CHECKING:
    from dl4mic_sdk.context import Context
    from dl4mic_sdk.task import TrainTask

JSON_NAME = "training.json"
CSV_NAME = "training.csv"
PDF_NAME = "report.pdf"
FORMAT = 1
"""Version of the form of `training.json`."""

Row = Dict[str, float]


class TrainingReport:
    """The report of one training.

    Parameters
    ----------
    request
        Content of `request.json`, with the network's manifest.
    task
        What is trained on what.
    ctx
        Its artifacts get the report; its warnings those that the loss calls for.
    """

    def __init__(self, request: Mapping[str, Any], task: TrainTask, ctx: Context) -> None:
        self._request = request
        self._task = task
        self._ctx = ctx

    def begin(self, record: Mapping[str, Any]) -> None:
        """Write what is known before the training.

        Parameters
        ----------
        record
            Content of `model.json` so far.
        """
        self._write(record, [])

    def complete(self, record: Mapping[str, Any]) -> None:
        """Write everything, with the loss record and what the network noted.

        Parameters
        ----------
        record
            Content of the finished `model.json`.
        """
        history = recorded_history(self._task.model, self._ctx.attempt_folder)
        for warning in about_loss(history):
            self._ctx.warning(warning.code, warning.message)
        self._write(record, history)

    def _write(self, record: Mapping[str, Any], history: Sequence[Row]) -> None:
        from dl4mic_sdk.training_facts import TrainingFacts
        from dl4mic_sdk.training_pages import write_pages

        attempt = self._ctx.attempt_folder
        noted = read_choices(attempt), read_warnings(attempt)
        facts = TrainingFacts(self._request, self._task, record, history, *noted)
        folder = self._ctx.artifacts
        write_json(folder / JSON_NAME, dict(facts.as_plain(), format=FORMAT))
        if history:
            _write_csv(folder / CSV_NAME, history)
        write_pages(folder / PDF_NAME, facts, attempt)


def recorded_history(model: Path, attempt_folder: Path) -> List[Row]:
    """Return one row of metrics an epoch.

    The model's own loss record is used; where the network keeps none, the metrics among the job's
    events, of all attempts.
    """
    history = read_history(model)
    if history:
        return history
    rows: Dict[float, Row] = {}
    for number in range(1, int(attempt_folder.name) + 1):
        for _, event in read_events(attempt_folder.with_name(str(number))):
            _add_metric(rows, event.get("metric", {}))
    return [rows[step] for step in sorted(rows)]


def _add_metric(rows: Dict[float, Row], metric: Mapping[str, Any]) -> None:
    # A running mean is reported at fractions of an epoch; it is no row of its own.
    step = float(metric.get("step", 0.5))
    if step.is_integer():
        rows.setdefault(step, {"epoch": step})[metric["name"]] = float(metric["value"])


def _write_csv(path: Path, history: Sequence[Row]) -> None:
    names: Dict[str, None] = {}
    for row in history:
        names.update(dict.fromkeys(row))
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(names))
        table.writeheader()
        table.writerows(history)
