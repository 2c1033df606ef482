# SPDX-License-Identifier: BSD-3-Clause
"""What a quality control found, for people: scores of the best model, and how the models rank."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from dl4mic_client.cli import output

_MODEL_KEYS = ("name", "weights", "label", "rank", "ranking_score", "against_best")


def show(scores: Mapping[str, Any]) -> None:
    """Print what was found, what matters most first; of several models first their ranking."""
    titles = scores.get("titles", {})
    ranked = scores.get("models", [])
    if len(ranked) > 1:
        _show_ranking(ranked, titles.get(scores.get("ranked_by"), "SCORE"))
        click.echo(f"\nThe best: {ranked[0]['label']}")
    pooled = scores.get("pooled", {})
    first = [key for key in scores.get("headline", []) if key in pooled]
    rest = [key for key in pooled if key not in first]
    rows = [(titles.get(key, key), _figure(pooled[key]), key) for key in first + rest]
    output.table(("SCORE OVER ALL IMAGES", "VALUE", "DEFINITION"), rows)


def plain(scores: Mapping[str, Any]) -> dict[str, Any]:
    """Return the scores of the best model, and the ranking where there are several, as JSON values."""
    found: dict[str, Any] = {"scores": scores.get("pooled", {})}
    ranked = scores.get("models", [])
    if len(ranked) > 1:
        found["models"] = [{key: each.get(key) for key in _MODEL_KEYS} for each in ranked]
    return found


def best_model(scores: Mapping[str, Any]) -> str:
    """Return the arguments that name the best of several models and its weights to a command."""
    best = scores["best_model"]
    weights = "" if best["weights"] == "best" else f" --weights {best['weights']}"
    return f"{best['name']}{weights}"


def _show_ranking(ranked: list[dict[str, Any]], title: str) -> None:
    rows = [
        (
            _figure(each.get("rank"), "-"),
            str(each.get("label")),
            _figure(each.get("ranking_score"), "-"),
            *_against_best(each),
        )
        for each in ranked
    ]
    output.table(("RANK", "MODEL", title.upper(), "P", "AGAINST THE BEST"), rows)


def _against_best(model: dict[str, Any]) -> tuple[str, str]:
    """Say how likely chance is, and what that means."""
    test = model.get("against_best")
    if not test:
        return "", "the best"
    if model.get("rank") is None:
        return "-", "has no score"
    p = test.get("p_adjusted")
    return ("-" if p is None else f"{p:.4f}" if p >= 0.0001 else "< 0.0001"), test["verdict"]


def _figure(value: object, undefined: str = "not defined") -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    return undefined if value is None else str(value)
