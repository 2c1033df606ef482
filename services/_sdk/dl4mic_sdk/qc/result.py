# SPDX-License-Identifier: BSD-3-Clause
"""The result of quality control in its files: `qc.json` for programs, `qc.csv` for tables."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

from dl4mic_sdk.job_folder import write_json
from dl4mic_sdk.qc.kind import Kind, Numbers
from dl4mic_sdk.qc.warning_rules import QcWarning

JSON_NAME = "qc.json"
CSV_NAME = "qc.csv"
FORMAT = 1
"""Version of the form of `qc.json`."""


@dataclass(frozen=True)
class ImageRow:
    """Numbers of one image predicted by one model."""

    model: str
    name: str
    numbers: Numbers


@dataclass(frozen=True)
class Spread:
    """How a number varies over the images where it is defined.

    Attributes
    ----------
    mean, standard_deviation, minimum, maximum
        Of the images; the deviation is that of a sample (n - 1), None for a single image.
    images
        How many images define the number.
    """

    mean: float
    standard_deviation: Optional[float]
    minimum: float
    maximum: float
    images: int


@dataclass(frozen=True)
class QcResult:
    """Everything that quality control found out about one model.

    Attributes
    ----------
    kind
        How it was scored.
    models
        Plain facts of the models that were scored: name, weights, network.
    rows
        One an image, in the order of the images.
    pooled
        Numbers of all images taken as one.
    failed
        Name -> why an image has no score.
    warnings
        What a reader must know.
    """

    kind: Kind
    models: Sequence[Dict[str, Any]]
    rows: Sequence[ImageRow]
    pooled: Numbers
    failed: Dict[str, str]
    warnings: Sequence[QcWarning]

    def spread(self) -> Dict[str, Optional[Spread]]:
        """Mean and spread of every number over the images; None where no image defines it."""
        ids = [each.id for each in self.kind.definitions]
        return {key: spread_of([row.numbers[key] for row in self.rows]) for key in ids}

    def ranked(self) -> List[ImageRow]:
        """Images from worst to best; those whose rank is not defined are left out."""
        key = self.kind.rank_by
        defined = [row for row in self.rows if row.numbers[key] is not None]
        return sorted(defined, key=lambda row: row.numbers[key] or 0.0)


def spread_of(values: Sequence[Optional[float]]) -> Optional[Spread]:
    """Describe the values that are defined; None if there is none."""
    known = [float(each) for each in values if each is not None]
    if not known:
        return None
    mean = math.fsum(known) / len(known)
    squares = math.fsum((each - mean) ** 2 for each in known)
    deviation = math.sqrt(squares / (len(known) - 1)) if len(known) > 1 else None
    return Spread(mean, deviation, min(known), max(known), len(known))


def write_result(result: QcResult, folder: Path) -> None:
    """Write `qc.json` and `qc.csv`."""
    write_json(folder / JSON_NAME, as_plain(result))
    with (folder / CSV_NAME).open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        ids = [each.id for each in result.kind.definitions]
        table.writerow(["model", "image", *ids])
        for row in result.rows:
            table.writerow([row.model, row.name, *(_cell(row.numbers[key]) for key in ids)])


def as_plain(result: QcResult) -> Dict[str, Any]:
    """Return the content of `qc.json`.

    Returns
    -------
    dict
        ``task``; ``definitions`` and ``titles`` by id; ``headline``, the ids to show first;
        ``models``; ``per_image``: numbers by id; ``pooled``; ``mean``; ``spread``; ``worst`` and
        ``best``, names of images; ``failed``; ``warnings``. A number that is not defined is null.
    """
    spread = result.spread()
    ranked = [row.name for row in result.ranked()]
    return {
        "format": FORMAT,
        "task": result.kind.task,
        "definitions": {each.id: each.text for each in result.kind.definitions},
        "titles": {each.id: each.title for each in result.kind.definitions},
        "headline": list(result.kind.headline),
        "models": list(result.models),
        "per_image": [
            {"model": row.model, "image": row.name, "numbers": row.numbers} for row in result.rows
        ],
        "pooled": result.pooled,
        "mean": {key: each.mean if each else None for key, each in spread.items()},
        "spread": {key: vars(each) if each else None for key, each in spread.items()},
        "ranked_by": result.kind.rank_by,
        "worst": ranked[0] if ranked else None,
        "best": ranked[-1] if ranked else None,
        "failed": [{"image": name, "message": why} for name, why in result.failed.items()],
        "warnings": [vars(each) for each in result.warnings],
    }


def _cell(value: Optional[float]) -> Any:
    return "" if value is None else value
