# SPDX-License-Identifier: BSD-3-Clause
"""Quality control of a model, from images to report, with a network that thresholds."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional

import numpy as np
import pytest

from dl4mic_sdk import images
from dl4mic_sdk.context import Context
from dl4mic_sdk.data_summary import DataSummary, FileFacts
from dl4mic_sdk.device import Device
from dl4mic_sdk.errors import DataError, ImageError, SdkError
from dl4mic_sdk.events import EventWriter, read_events
from dl4mic_sdk.images import Image
from dl4mic_sdk.network import Network
from dl4mic_sdk.pairs import Item
from dl4mic_sdk.prediction import Prediction
from dl4mic_sdk.qc.score import score
from dl4mic_sdk.task import ModelFolder, QcTask

F1 = "instance.f1@0.5/1"


class Bands(Network):
    """Takes the intensities for object numbers; fails on images called bad."""

    def train(self, task: Any, ctx: Any) -> None:
        raise AssertionError("not in quality control")

    def load(self, model: Any) -> None:
        self.model = model

    def predict_image(self, image: Image) -> Prediction:
        if image.name.startswith("bad"):
            raise ImageError(image.name, "looks odd")
        if image.name.startswith("cut"):
            return Prediction({"labels": image.with_pixels(image.pixels[:, :-1])}, labels=True)
        return Prediction({"labels": image}, labels=True)


def write_pair(folder: Path, name: str, wrong: int = 0, shape: Any = (40, 60)) -> Item:
    """Write five objects as target, and an image that shows `wrong` of them elsewhere."""
    target = np.zeros(shape, np.uint16)
    for number in range(5):
        target[..., 4:14, 10 * number + 2 : 10 * number + 10] = number + 1
    source = np.where(target > wrong, target, 0).astype(np.uint16)
    source[..., 20:30, 2 : 2 + 10 * wrong] = wrong
    axes = "ZYX"[-len(shape) :]
    for part, pixels in (("source", source), ("target", target)):
        (folder / part).mkdir(exist_ok=True)
        images.write(folder / part / (name + ".tif"), Image(pixels, axes), label=True)
    paths = [folder / part / (name + ".tif") for part in ("source", "target")]
    return Item(name, paths[0], paths[1], axes, shape)


@pytest.fixture
def ctx(tmp_path: Path) -> Iterator[Context]:
    attempt = tmp_path / "job" / "1"
    (attempt / "artifacts").mkdir(parents=True)
    events = EventWriter(attempt)
    yield Context(attempt, events, Device("cpu", "test processor"))
    events.close()


def facts_of(item: Item) -> FileFacts:
    return FileFacts(
        str(item.source), "source", item.axes, item.shape, "uint16", {}, 1, 1, item.name
    )


def run(
    ctx: Context,
    items: List[Item],
    record: Optional[Dict[str, Any]] = None,
    task_kind: str = "instance segmentation",
) -> Dict[str, Any]:
    model = ctx.attempt_folder / "model"
    model.mkdir()
    rows = ["epoch,loss,val_loss", *("{0},{1},{1}".format(e, 1 / e) for e in range(1, 13))]
    (model / "history.csv").write_text("\n".join(rows), encoding="utf-8")
    data = DataSummary("label_images", tuple(items), files=tuple(map(facts_of, items)))
    task = QcTask(
        network="bands",
        parameters={},
        items=items,
        models=[ModelFolder("bands:2", model, "best", record or {})],
        output=ctx.artifacts,
        task_kind=task_kind,
        data=data,
        manifest={"title": "Bands", "citations": [{"text": "Nobody, 2020."}]},
    )
    score(Bands("bands", {}), task, ctx)
    found: Dict[str, Any] = json.loads((ctx.artifacts / "qc.json").read_text(encoding="utf-8"))
    return found


def codes(found: Dict[str, Any]) -> List[str]:
    return [each["code"] for each in found["warnings"]]


def test_perfect_model(ctx: Context, tmp_path: Path) -> None:
    found = run(ctx, [write_pair(tmp_path, "a{}".format(i)) for i in range(5)])
    assert found["task"] == "instance segmentation"
    model = found["models"][0]
    named = {key: model[key] for key in ("name", "weights", "network", "label", "rank")}
    assert named == {
        "name": "bands:2", "weights": "best", "network": "bands", "label": "bands:2", "rank": 1
    }  # fmt: skip
    assert model["pooled"] == found["pooled"] and model["against_best"] is None
    assert found["comparison"] is None
    assert found["pooled"][F1] == found["mean"][F1] == 1.0
    assert found["pooled"]["instance.n_true/1"] == 25
    assert codes(found) == ["MODEL_UNDERFITTED"]


def test_every_number_carries_its_definition(ctx: Context, tmp_path: Path) -> None:
    found = run(ctx, [write_pair(tmp_path, "a", 2)])
    for numbers in (
        found["pooled"],
        found["mean"],
        found["spread"],
        found["per_image"][0]["numbers"],
    ):
        assert set(numbers) == set(found["definitions"])
    assert set(found["headline"]) <= set(found["definitions"])


def test_pooled_mean_and_spread(ctx: Context, tmp_path: Path) -> None:
    # 5 of 5, and 3 of 5 objects with one invented: F1 is 1 and 6 / (5 + 4).
    found = run(ctx, [write_pair(tmp_path, "a", 0), write_pair(tmp_path, "b", 2)])
    assert [row["numbers"][F1] for row in found["per_image"]] == [1.0, pytest.approx(6 / 9)]
    assert found["mean"][F1] == pytest.approx((1 + 6 / 9) / 2)
    assert found["pooled"][F1] == pytest.approx(16 / 19)
    spread = found["spread"][F1]
    assert spread["standard_deviation"] == pytest.approx((1 / 3) / 2**0.5)
    assert (spread["minimum"], spread["maximum"]) == (pytest.approx(6 / 9), 1.0)
    assert spread["images"] == 2
    assert (found["worst"], found["best"]) == ("b", "a")


def test_what_is_left_behind(ctx: Context, tmp_path: Path) -> None:
    run(ctx, [write_pair(tmp_path, "a", 1), write_pair(tmp_path, "b")])
    names = {str(path.relative_to(ctx.artifacts)) for path in ctx.artifacts.rglob("*.*")}
    assert names == {
        "qc.json",
        "qc.csv",
        "report.pdf",
        "panels/a.png",
        "panels/b.png",
        "predictions/a.tif",
        "predictions/b.tif",
    }
    with (ctx.artifacts / "qc.csv").open(newline="", encoding="utf-8") as file:
        table = {row["image"]: row for row in csv.DictReader(file)}
    assert table["a"]["model"] == "bands:2"
    assert float(table["a"][F1]) == pytest.approx(8 / 10)


def test_a_bad_image_fails_alone(ctx: Context, tmp_path: Path) -> None:
    items = [write_pair(tmp_path, name) for name in ("a", "bad", "cut")]
    found = run(ctx, items)
    assert [row["image"] for row in found["per_image"]] == ["a"]
    failed = {each["image"]: each["message"] for each in found["failed"]}
    assert "looks odd" in failed["bad"]
    assert failed["cut"] == "the prediction has shape (40, 59), the target (40, 60)"
    assert "QC_IMAGES_FAILED" in codes(found)


def test_nothing_to_score_is_refused(ctx: Context, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none of the 1 images could be scored"):
        run(ctx, [write_pair(tmp_path, "cut")])


def test_an_image_without_objects_is_left_out_of_the_mean(ctx: Context, tmp_path: Path) -> None:
    empty = write_pair(tmp_path, "empty")
    for path in (empty.source, empty.target):
        images.write(path, Image(np.zeros((40, 60), np.uint16), "YX"), label=True)
    found = run(ctx, [empty, write_pair(tmp_path, "b")])
    assert found["per_image"][0]["numbers"][F1] is None
    assert found["mean"][F1] == 1.0
    assert found["spread"][F1]["images"] == 1
    assert "QC_EMPTY_IMAGES" in codes(found)


def test_only_empty_images(ctx: Context, tmp_path: Path) -> None:
    item = write_pair(tmp_path, "empty")
    for path in (item.source, item.target):
        images.write(path, Image(np.zeros((40, 60), np.uint16), "YX"), label=True)
    found = run(ctx, [item])
    assert found["pooled"][F1] is found["mean"][F1] is found["worst"] is None
    assert (ctx.artifacts / "report.pdf").read_bytes().startswith(b"%PDF")


def test_images_of_the_training_are_found_by_content(ctx: Context, tmp_path: Path) -> None:
    trained = write_pair(tmp_path, "a")
    record = {
        "data": DataSummary("label_images", (trained,), files=(facts_of(trained),)).as_record()
    }
    found = run(ctx, [trained, write_pair(tmp_path, "b")], record)
    warning = next(
        each for each in found["warnings"] if each["code"] == "QC_IMAGES_WERE_TRAINED_ON"
    )
    assert "a.tif" in warning["message"]
    assert "b.tif" not in warning["message"]


def test_warnings_and_headline_are_events(ctx: Context, tmp_path: Path) -> None:
    found = run(ctx, [write_pair(tmp_path, "a", 1)])
    events = [event for _, event in read_events(ctx.attempt_folder)]
    assert [each["warning"]["code"] for each in events if "warning" in each] == codes(found)
    metrics = {
        each["metric"]["name"]: each["metric"]["value"] for each in events if "metric" in each
    }
    assert metrics["F1"] == found["pooled"][F1]


def test_stacks(ctx: Context, tmp_path: Path) -> None:
    found = run(ctx, [write_pair(tmp_path, "a", 1, (5, 40, 60))])
    assert found["pooled"][F1] == pytest.approx(8 / 10)
    assert (ctx.artifacts / "panels" / "a.png").stat().st_size > 1000


def test_many_images_get_few_panels(ctx: Context, tmp_path: Path) -> None:
    items = [write_pair(tmp_path, "i{:02d}".format(i), i % 4) for i in range(20)]
    found = run(ctx, items)
    drawn = {path.stem for path in (ctx.artifacts / "panels").iterdir()}
    assert len(drawn) == 8
    assert {found["worst"], found["best"]} <= drawn


def test_a_task_that_nobody_can_score_is_refused(ctx: Context, tmp_path: Path) -> None:
    with pytest.raises(SdkError, match="'alchemy'") as refusal:
        run(ctx, [write_pair(tmp_path, "a")], task_kind="alchemy")
    assert "instance segmentation" in refusal.value.hint
