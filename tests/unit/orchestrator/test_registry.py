# SPDX-License-Identifier: BSD-3-Clause
"""The registry: published once, and checked whenever read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dl4mic_orchestrator.registry import BentoContent, BrokenModelError, Origin, Registry
from dl4mic_orchestrator.registry.content import digest_of_folder
from dl4mic_orchestrator.store import Store

ORIGIN = Origin("m", "blur", "default", "a")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "made"
    (folder / "sub").mkdir(parents=True)
    record = {"network": "blur", "parent": {"name": "n:3"}, "weights": ["best"]}
    (folder / "model.json").write_text(json.dumps(record))
    (folder / "sub" / "weights").write_bytes(bytes(range(256)))
    return folder


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(Store(tmp_path / "s.sqlite").models, BentoContent(tmp_path / "models"))


def test_a_model_is_published_once_and_found_whole(registry: Registry, model: Path) -> None:
    published = registry.publish(model, ORIGIN)
    assert registry.publish(model, ORIGIN) == published
    assert (published.tag, published.parent) == ("m:1", "n:3")
    folder = registry.folder(registry.rows.find("m"))
    assert digest_of_folder(folder) == digest_of_folder(model) == published.digest
    assert (folder / "sub" / "weights").read_bytes() == bytes(range(256))


def test_a_half_published_model_is_published_anew(registry: Registry, model: Path) -> None:
    from dl4mic_orchestrator.records import Model

    reserved = registry.rows.reserve(Model("m", 0, "blur", "default", 1.0, "a"))
    half = registry._content._models / "m" / str(reserved.version)  # type: ignore[attr-defined]
    half.mkdir(parents=True)
    (half / "model.json").write_text("{")
    assert registry.publish(model, ORIGIN).version == reserved.version
    registry.folder(registry.rows.find("m:1"))


def test_what_nobody_goes_on_with_is_swept(registry: Registry, model: Path) -> None:
    from dl4mic_orchestrator.records import Model

    registry.rows.reserve(Model("m", 0, "blur", "default", 1.0, "a"))
    registry.sweep({"a"})
    assert registry.rows.unfinished()
    registry.sweep(set())
    assert not registry.rows.unfinished()


@pytest.mark.parametrize("harm", ["change", "add", "remove"])
def test_content_that_was_changed_is_refused(registry: Registry, model: Path, harm: str) -> None:
    registry.publish(model, ORIGIN)
    published = registry.rows.find("m")
    weights = registry.folder(published) / "sub" / "weights"
    if harm == "change":
        weights.write_bytes(bytes(256))
    elif harm == "add":
        (weights.parent / "more").touch()
    else:
        weights.unlink()
    with pytest.raises(BrokenModelError, match="changed after it was published"):
        registry.folder(published)


def test_deleting_removes_the_content(registry: Registry, model: Path) -> None:
    published = registry.publish(model, ORIGIN)
    folder = registry.folder(published)
    assert registry.delete(published) == published.size > 0
    assert not folder.exists()


def test_a_folder_without_a_record_is_no_model(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(BrokenModelError, match=r"no readable model\.json"):
        registry.publish(tmp_path, ORIGIN)


@pytest.mark.parametrize(
    "report",
    [
        {"pooled": {"f1": 0.5, "matching": {"x": 1}}},
        {"models": [{"name": "m:1", "pooled": {"f1": 0.5}}, {"name": "z", "pooled": {"f1": 1}}]},
    ],
)
def test_scores_are_kept_by_digest(
    registry: Registry, model: Path, tmp_path: Path, report: dict
) -> None:
    digest = registry.publish(model, ORIGIN).digest
    (tmp_path / "qc.json").write_text(json.dumps(report))
    registry.add_scores("q", tmp_path, {"m:1": digest})
    assert [scores.values for scores in registry.rows.scores(digest)] == [{"f1": 0.5}]


@pytest.mark.parametrize(
    ("ranked", "kept"),
    [
        ([("10", 0.9), ("best", 0.5), ("last", 0.4)], 0.5),
        ([("10", 0.9), ("last", 0.4)], 0.9),
    ],
)
def test_of_several_weights_those_count_that_it_predicts_with(
    registry: Registry, model: Path, tmp_path: Path, ranked: list[tuple[str, float]], kept: float
) -> None:
    digest = registry.publish(model, ORIGIN).digest
    other = {"name": "n:2", "weights": "best", "pooled": {"f1": 1.0}}
    models = [{"name": "m:1", "weights": w, "pooled": {"f1": score}} for w, score in ranked]
    report = {"models": [other, *models], "pooled": {"f1": 1.0}}
    (tmp_path / "qc.json").write_text(json.dumps(report))
    registry.add_scores("q", tmp_path, {"m:1": digest})
    assert [scores.values for scores in registry.rows.scores(digest)] == [{"f1": kept}]


def test_a_model_that_could_not_be_scored_keeps_no_scores(
    registry: Registry, model: Path, tmp_path: Path
) -> None:
    digest = registry.publish(model, ORIGIN).digest
    report = {"models": [{"name": "m:1", "weights": "best", "pooled": {"f1": None}}]}
    (tmp_path / "qc.json").write_text(json.dumps(report))
    registry.add_scores("q", tmp_path, {"m:1": digest})
    assert list(registry.rows.scores(digest)) == []
