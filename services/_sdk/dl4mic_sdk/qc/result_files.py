# SPDX-License-Identifier: BSD-3-Clause
"""The result of quality control in its files: `qc.json` for programs, `qc.csv` for tables."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any, Dict, Optional

from dl4mic_sdk.job_folder import write_json
from dl4mic_sdk.qc.comparison import Comparison, Place
from dl4mic_sdk.qc.contrasts import contrasts_of
from dl4mic_sdk.qc.result import QcResult

JSON_NAME = "qc.json"
CSV_NAME = "qc.csv"
FORMAT = 1
"""Version of the form of `qc.json`."""


def write_result(comparison: Comparison, network: str, folder: Path) -> None:
    """Write `qc.json` and `qc.csv`; `network` is that of the models."""
    write_json(folder / JSON_NAME, as_plain(comparison, network))
    with (folder / CSV_NAME).open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        ids = [each.id for each in comparison.best.kind.definitions]
        table.writerow(["model", "image", *ids])
        for place in comparison.places:
            for row in place.result.rows:
                table.writerow([row.model, row.name, *(_cell(row.numbers[key]) for key in ids)])


def as_plain(comparison: Comparison, network: str) -> Dict[str, Any]:
    """Return the content of `qc.json`.

    Returns
    -------
    dict
        ``task``; ``definitions`` and ``titles`` by id; ``headline``, the ids to show first;
        ``ranked_by``; ``models``, best first, each with its numbers and its test against the best;
        ``best_model``; ``comparison``, how they were compared; ``baselines``, what the best model is
        held against beside the others, with tests; ``left_out``, what could not be said; ``per_image``: numbers by id;
        ``warnings``. The numbers of the best model stand at the top too. A number that is not
        defined is null.
    """
    best, kind = comparison.best, comparison.best.kind
    models = [_model(place, network) for place in comparison.places]
    return {
        "format": FORMAT,
        "task": kind.task,
        "definitions": {each.id: each.text for each in kind.definitions},
        "titles": {each.id: each.title for each in kind.definitions},
        "headline": list(kind.headline),
        "ranked_by": kind.rank_by,
        "models": models,
        "best_model": {key: models[0][key] for key in ("name", "weights", "label")},
        "comparison": _how(comparison),
        "baselines": {
            **kind.facts,
            "tests": [each.as_plain() for each in contrasts_of(best)],
        },
        "left_out": list(kind.left_out),
        "per_image": [
            {"model": row.model, "image": row.name, "numbers": row.numbers}
            for place in comparison.places
            for row in place.result.rows
        ],
        **_numbers(best),
        "warnings": [vars(each) for each in comparison.warnings],
    }


def _how(comparison: Comparison) -> Optional[Dict[str, Any]]:
    if not comparison.several:
        return None
    return {"images": list(comparison.images), "method": comparison.method}


def _model(place: Place, network: str) -> Dict[str, Any]:
    facts = place.result.candidate.facts(network)
    test = place.test
    return {
        **facts,
        "label": place.result.candidate.label,
        "rank": place.rank,
        "ranking_score": place.score,
        "against_best": dict(vars(test), verdict=test.verdict) if test else None,
        **_numbers(place.result),
    }


def _numbers(result: QcResult) -> Dict[str, Any]:
    """Pooled numbers, mean, spread; names of the worst and best image; what failed."""
    spread = result.spread()
    ranked = [row.name for row in result.ranked()]
    return {
        "pooled": result.pooled,
        "mean": {key: each.mean if each else None for key, each in spread.items()},
        "spread": {key: vars(each) if each else None for key, each in spread.items()},
        "worst": ranked[0] if ranked else None,
        "best": ranked[-1] if ranked else None,
        "failed": [{"image": name, "message": why} for name, why in result.failed.items()],
    }


def _cell(value: Optional[float]) -> Any:
    return "" if value is None else value
