# SPDX-License-Identifier: BSD-3-Clause
"""Several models, or several weights of one, on the same images: ranked, compared, and continued after a stop."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any, Dict, Iterator, List, Sequence, Tuple

import numpy as np
import pytest

from dl4mic_sdk import images
from dl4mic_sdk.context import Context
from dl4mic_sdk.data_summary import DataSummary
from dl4mic_sdk.device import Device
from dl4mic_sdk.errors import ImageError, ModelError, Stopped
from dl4mic_sdk.events import EventWriter, read_events
from dl4mic_sdk.images import Image
from dl4mic_sdk.network import Network
from dl4mic_sdk.pairs import Item
from dl4mic_sdk.prediction import Prediction
from dl4mic_sdk.qc.candidates import candidates_of, with_all_weights
from dl4mic_sdk.qc.score import score
from dl4mic_sdk.task import ModelFolder, QcTask

F1 = "instance.f1@0.5/1"
OBJECTS = 5


class Forgets(Network):
    """Finds all objects but the number that the model's record has for its weights; -1: fails on odd images."""

    applied: List[str]
    stop_after: int = 10**9
    ctx: Context

    def __init__(self) -> None:
        super().__init__("forgets", {})
        self.applied = []

    def train(self, task: Any, ctx: Any) -> None:
        raise AssertionError("not in quality control")

    def load(self, model: ModelFolder) -> None:
        self._forgotten = model.record["forgotten"][model.weights]
        if self._forgotten is None:
            raise ModelError("model {} cannot be read".format(model.name))
        self._model = model

    def predict_image(self, image: Image) -> Prediction:
        self.applied.append("{} {}".format(self._model.name, image.name))
        if len(self.applied) == self.stop_after:
            self.ctx.stop()
        if self._forgotten < 0 and int(image.name[1:]) % 2:
            raise ImageError(image.name, "looks odd")
        forgotten = max(0, self._forgotten)
        return Prediction(
            {"labels": image.with_pixels(np.where(image.pixels > forgotten, image.pixels, 0))},
            labels=True,
        )


@pytest.fixture
def items(tmp_path: Path) -> List[Item]:
    made = []
    pixels = np.zeros((20, 60), np.uint16)
    for number in range(OBJECTS):
        pixels[4:14, 12 * number + 1 : 12 * number + 9] = number + 1
    for index in range(8):
        path = tmp_path / "images" / "i{}.tif".format(index)
        path.parent.mkdir(exist_ok=True)
        images.write(path, Image(pixels, "YX"), label=True)
        made.append(Item(path.stem, path, path, "YX", (20, 60)))
    return made


def model(folder: Path, name: str, weights: str = "best", **forgotten: Any) -> ModelFolder:
    path = folder / name.replace(":", "_")
    path.mkdir(exist_ok=True)
    return ModelFolder(name, path, weights, {"forgotten": forgotten or {"best": 0}})


def context(folder: Path, attempt: int = 1) -> Context:
    made = folder / str(attempt)
    (made / "artifacts" / "predictions").mkdir(parents=True)
    return Context(made, EventWriter(made), Device("cpu", "test processor"))


def run(
    folder: Path, items: Sequence[Item], models: Sequence[ModelFolder], network: Any = None
) -> Tuple[Dict[str, Any], Path]:
    ctx = context(folder)
    score(network or Forgets(), task(ctx, items, models), ctx)
    text = (ctx.artifacts / "qc.json").read_text(encoding="utf-8")
    return json.loads(text), ctx.artifacts


def task(ctx: Context, items: Sequence[Item], models: Sequence[ModelFolder], **more: Any) -> QcTask:
    return QcTask(
        network="forgets",
        parameters={},
        items=items,
        models=models,
        output=ctx.artifacts,
        task_kind="instance segmentation",
        data=DataSummary("label_images", tuple(items)),
        manifest={"title": "Forgets"},
        **more,
    )


def standing(found: Dict[str, Any]) -> Iterator[Tuple[Any, str]]:
    return ((each["rank"], each["label"]) for each in found["models"])


def test_a_model_that_forgets_more_ranks_lower(tmp_path: Path, items: List[Item]) -> None:
    models = [model(tmp_path, name, best=n) for name, n in (("b:1", 2), ("c:1", 3), ("a:1", 1))]
    found, made = run(tmp_path, items, models)
    assert list(standing(found)) == [(1, "a:1"), (2, "b:1"), (3, "c:1")]
    # Of 5 objects 4, 3 and 2 are found: F1 is 2 n / (n + 5).
    scores = [each["ranking_score"] for each in found["models"]]
    assert scores == pytest.approx([8 / 9, 6 / 8, 4 / 7])
    assert found["best_model"] == {"name": "a:1", "weights": "best", "label": "a:1"}
    assert found["pooled"][F1] == pytest.approx(8 / 9)
    assert (made / "report.pdf").read_bytes().startswith(b"%PDF")


def test_each_is_tested_against_the_best(tmp_path: Path, items: List[Item]) -> None:
    models = [model(tmp_path, "m:{}".format(n), best=n) for n in (0, 1, 2)]
    found, _ = run(tmp_path, items, models)
    best, *others = found["models"]
    assert best["against_best"] is None
    for each in others:
        # Eight images, worse on all: two of the 2**8 signs are as extreme, and there are two models.
        test = each["against_best"]
        assert (test["worse"], test["p"]) == (8, 2 / 2**8)
        assert test["p_adjusted"] == pytest.approx(4 / 2**8)
        assert test["verdict"] == "worse than the best"
    assert "Wilcoxon" in found["comparison"]["method"]


def test_the_progress_says_which_model_it_is_of(tmp_path: Path, items: List[Item]) -> None:
    run(tmp_path, items, [model(tmp_path, "m:{}".format(n), best=n) for n in (0, 1)])
    events = [event for _, event in read_events(tmp_path / "1")]
    phases = [each["progress"]["phase"] for each in events if "progress" in each]
    assert list(dict.fromkeys(phases)) == [
        "predicting, model 1 of 2",
        "scoring, model 1 of 2",
        "predicting, model 2 of 2",
        "scoring, model 2 of 2",
    ]


def test_few_images_tell_nothing(tmp_path: Path, items: List[Item]) -> None:
    found, _ = run(tmp_path, items[:4], [model(tmp_path, "m:{}".format(n), best=n) for n in (0, 2)])
    assert "too few images" in found["models"][1]["against_best"]["verdict"]


def test_equal_models_share_a_rank(tmp_path: Path, items: List[Item]) -> None:
    models = [model(tmp_path, name, best=n) for name, n in (("a", 1), ("b", 0), ("c", 0))]
    found, _ = run(tmp_path, items, models)
    assert list(standing(found)) == [(1, "b"), (1, "c"), (3, "a")]
    verdict = found["models"][1]["against_best"]["verdict"]
    assert verdict == "scores the same on every image"


def test_every_image_has_a_row_for_each_model(tmp_path: Path, items: List[Item]) -> None:
    _, made = run(tmp_path, items, [model(tmp_path, "m:{}".format(n), best=n) for n in (0, 1)])
    with (made / "qc.csv").open(newline="", encoding="utf-8") as file:
        rows = [(row["model"], row["image"]) for row in csv.DictReader(file)]
    assert rows == [(name, item.name) for name in ("m:0", "m:1") for item in items]
    folders = sorted(each.name for each in (made / "predictions").iterdir())
    assert folders == ["m-0", "m-1"]
    assert sorted(each.name for each in (made / "predictions" / "m-0").iterdir()) == [
        each.name + ".tif" for each in items
    ]


def test_a_model_gains_nothing_by_failing_on_some(tmp_path: Path, items: List[Item]) -> None:
    models = [model(tmp_path, "whole", best=0), model(tmp_path, "odd", best=-1)]
    found, _ = run(tmp_path, items, models)
    assert list(standing(found)) == [(1, "whole"), (1, "odd")]
    assert found["comparison"]["images"] == ["i0", "i2", "i4", "i6"]
    assert len(found["models"][1]["failed"]) == 4
    warning = next(each for each in found["warnings"] if each["code"] == "QC_IMAGES_FAILED")
    assert warning["message"].startswith("odd: Left out")


def test_a_model_that_cannot_be_applied_loses_nobody_elses_scores(
    tmp_path: Path, items: List[Item]
) -> None:
    models = [model(tmp_path, "broken", best=None), model(tmp_path, "sound", best=1)]
    found, made = run(tmp_path, items, models)
    assert list(standing(found)) == [(1, "sound"), (None, "broken")]
    assert found["models"][1]["pooled"][F1] is None
    assert found["models"][1]["failed"][0]["message"] == "model broken cannot be read"
    assert (made / "report.pdf").exists()


def test_models_that_all_cannot_be_applied_fail(tmp_path: Path, items: List[Item]) -> None:
    models = [model(tmp_path, name, best=None) for name in ("a", "b")]
    with pytest.raises(ModelError, match="model a cannot be read"):
        run(tmp_path, items, models)


def test_all_weights_of_a_model(tmp_path: Path, items: List[Item]) -> None:
    kept = {"best": 1, "last": 2, "5": 3, "10": 0}
    asked = model(tmp_path, "m:1", "all", **kept)
    record = dict(asked.record, weights=list(kept))
    models = with_all_weights(ModelFolder(asked.name, asked.path, "all", record))
    assert [each.weights for each in models] == ["best", "last", "5", "10"]
    found, made = run(tmp_path, items, models)
    assert found["best_model"] == {"name": "m:1", "weights": "10", "label": "m:1 (epoch 10)"}
    ranked = [(each["name"], each["weights"]) for each in found["models"]]
    assert ranked == [("m:1", "10"), ("m:1", "best"), ("m:1", "last"), ("m:1", "5")]
    assert (made / "predictions" / "m-1-epoch-10" / "i0.tif").exists()


def test_weights_that_no_record_lists_are_found_in_the_folder(tmp_path: Path) -> None:
    made = model(tmp_path, "m", "all")
    for name in ("weights_last.h5", "weights_epoch_00010.h5", "weights_epoch_00009.h5"):
        (made.path / name).write_bytes(b"")
    assert [each.weights for each in with_all_weights(made)] == ["last", "9", "10"]


def test_what_is_named_twice_counts_once(tmp_path: Path) -> None:
    one, other = model(tmp_path, "m:1"), model(tmp_path, "m:2")
    made = candidates_of([one, other, one], tmp_path)
    assert [each.label for each in made] == ["m:1", "m:2"]
    alone = candidates_of([one, one], tmp_path)
    assert [(each.label, each.predictions) for each in alone] == [("m:1", tmp_path)]


def test_folders_of_predictions_differ(tmp_path: Path) -> None:
    models = [model(tmp_path, "a b"), model(tmp_path, "a-b"), model(tmp_path, "A?b")]
    made = candidates_of(models, tmp_path)
    assert [each.predictions.name for each in made] == ["a-b", "a-b-2", "A-b-3"]


@pytest.mark.parametrize("stop_after", [3, 11])
def test_a_stopped_comparison_is_continued(
    tmp_path: Path, items: List[Item], stop_after: int
) -> None:
    """What was predicted is not predicted again, whichever model it was by."""
    models = [model(tmp_path, "m:{}".format(n), best=n) for n in (0, 1)]
    first = Forgets()
    first.ctx, first.stop_after = context(tmp_path), stop_after
    with pytest.raises(Stopped):
        score(first, task(first.ctx, items, models), first.ctx)
    second, ctx = Forgets(), context(tmp_path, 2)
    previous = first.ctx.artifacts / "predictions"
    score(second, task(ctx, items, models, previous=previous), ctx)
    assert not set(first.applied[: stop_after - 1]) & set(second.applied)
    found = json.loads((ctx.artifacts / "qc.json").read_text(encoding="utf-8"))
    assert [each["ranking_score"] for each in found["models"]] == [1.0, pytest.approx(8 / 9)]
    assert not list((ctx.artifacts / "predictions").rglob(".*"))


def test_what_several_weights_share_is_said_once(tmp_path: Path, items: List[Item]) -> None:
    models = [model(tmp_path, "m:1", which, best=0, last=1) for which in ("best", "last")]
    epochs = ["epoch,loss,val_loss", *("{0},{1},{1}".format(e, 1 / e) for e in range(1, 13))]
    (models[0].path / "history.csv").write_text("\n".join(epochs), encoding="utf-8")
    found, _ = run(tmp_path, items[:2], models)
    codes = [each["code"] for each in found["warnings"]]
    assert codes == ["MODEL_UNDERFITTED", "QC_FEW_IMAGES"]
    assert found["warnings"][0]["message"].startswith("m:1: Under-fitting")
