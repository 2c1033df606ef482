# SPDX-License-Identifier: BSD-3-Clause
"""The training report, before and after a training."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any, Dict, Iterator, List

import numpy as np
import pytest

from dl4mic_sdk import images
from dl4mic_sdk.context import Context
from dl4mic_sdk.data_summary import DataSummary, FileFacts
from dl4mic_sdk.device import Device
from dl4mic_sdk.events import EventWriter, read_events
from dl4mic_sdk.pairs import Item
from dl4mic_sdk.report_notes import note_choices, note_examples, note_warning
from dl4mic_sdk.task import TrainTask
from dl4mic_sdk.training_facts import duration
from dl4mic_sdk.training_report import TrainingReport, recorded_history

MANIFEST: Dict[str, Any] = {
    "title": "Spots 2D",
    "task": "instance segmentation",
    "parameters": {
        "epochs": {"help": "Rounds over the data.", "unit": ""},
        "patch_size": {"help": "Size of a patch.", "unit": "px"},
        "depth": {"help": "Depth of the network.", "unit": "", "advanced": True},
        "augmentation": {"help": "Vary the patches.", "unit": ""},
    },
    "presets": {"paper": {"parameters": {"depth": 4}}},
}
RECORD: Dict[str, Any] = {
    "complete": False,
    "network": "spots2d",
    "service": "spots",
    "service_version": "1.2.3",
    "preset": "paper",
    "parameters": {"depth": 4, "epochs": 12, "patch_size": None, "augmentation": True},
    "given": ["epochs"],
    "split": {"mode": "image", "fraction": 0.1, "seed": 3, "train": ["a"], "validation": ["b"]},
    "parent": None,
    "versions": {"python": "3.11.7", "numpy": "2.0.0"},
    "device": {"kind": "cpu", "name": "test processor"},
    "licence": "BSD-3-Clause",
    "citations": [{"text": "Somebody, Spots, 2020.", "doi": "10.1/spots"}],
    "begin_time": "2026-01-01T10:00:00.000Z",
}
FINISHED = dict(RECORD, complete=True, seconds=3700.0, weights=["best", "last"])


def write_pair(folder: Path, shape: Any = (48, 64)) -> Item:
    source, target = folder / "image.tif", folder / "target.tif"
    labels = np.zeros(shape, np.uint16)
    labels[..., 5:20, 8:30], labels[..., 25:40, 30:60] = 1, 2
    axes = "ZYX"[-len(shape) :]
    images.write(source, images.Image(labels * 100 + 7, axes))
    images.write(target, images.Image(labels, axes), label=True)
    return Item("image", source, target, axes, shape)


def file_facts(path: Path) -> FileFacts:
    return FileFacts(str(path), "source", "YX", (48, 64), "uint16", {}, 1, 1, "abc")


@pytest.fixture
def task(tmp_path: Path) -> TrainTask:
    item = write_pair(tmp_path)
    data = DataSummary(
        supervision="label_images",
        items=(item, item, item),
        files=(file_facts(item.source),),
        intensity={"1": 7.0, "99.9": 207.0},
        pixel_size={"Y": 0.5, "X": 0.5},
        object_count=6,
        object_extent={"Y": 15.0, "X": 26.0},
        warnings=(("DATA_ODD", "The data is odd: costs $5 or $6."),),
    )
    (tmp_path / "model").mkdir()
    return TrainTask(
        network="spots2d",
        parameters=RECORD["parameters"],
        train=[item, item],
        validation=[item],
        model=tmp_path / "model",
        parent=None,
        seed=3,
        data=data,
        split=RECORD["split"],
    )


@pytest.fixture
def ctx(tmp_path: Path) -> Iterator[Context]:
    attempt = tmp_path / "job" / "1"
    (attempt / "artifacts").mkdir(parents=True)
    events = EventWriter(attempt)
    yield Context(attempt, events, Device("cpu", "test processor"))
    events.close()


@pytest.fixture
def report(task: TrainTask, ctx: Context) -> TrainingReport:
    request = {
        "model_name": "my-spots",
        "manifest": MANIFEST,
        "data": {"source": "/data/images", "target": "/data/masks"},
    }
    return TrainingReport(request, task, ctx)


def write_history(model: Path, rows: List[Dict[str, float]]) -> None:
    with (model / "history.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)


def rows(count: int) -> List[Dict[str, float]]:
    return [
        {"epoch": e, "loss": 1 / e, "val_loss": 1.2 / e, "learning_rate": 3e-4}
        for e in range(1, count + 1)
    ]


def read(ctx: Context) -> Dict[str, Any]:
    content: Dict[str, Any] = json.loads(
        (ctx.artifacts / "training.json").read_text(encoding="utf-8")
    )
    return content


def pages(path: Path) -> int:
    content = path.read_bytes()
    assert content.startswith(b"%PDF")
    assert content.rstrip().endswith(b"%%EOF")
    return content.count(b"/Type /Page ") + content.count(b"/Type /Page\n")


def test_a_crash_in_training_leaves_a_report(report: TrainingReport, ctx: Context) -> None:
    report.begin(RECORD)
    assert read(ctx)["complete"] is False
    assert pages(ctx.artifacts / "report.pdf") >= 1
    assert not (ctx.artifacts / "training.csv").exists()


def test_the_finished_report_has_everything(
    report: TrainingReport, task: TrainTask, ctx: Context
) -> None:
    report.begin(RECORD)
    write_history(task.model, rows(12))
    note_choices(ctx.attempt_folder, {"patch_size": [32, 32]})
    patch = np.random.RandomState(0).rand(16, 16)
    note_examples(ctx.attempt_folder, [(patch, (patch > 0.5).astype(np.uint8))] * 3)
    note_warning(ctx.attempt_folder, "TOO_SHORT", "only 12 epochs")
    report.complete(FINISHED)
    found = read(ctx)
    assert found["complete"] is True
    assert found["best_epoch"] == 12
    assert found["licence"] == "BSD-3-Clause"
    assert found["citations"] == ["Somebody, Spots, 2020. doi:10.1/spots"]
    codes = [each["code"] for each in found["warnings"]]
    assert codes == ["DATA_ODD", "TOO_SHORT", "MODEL_UNDERFITTED"]
    with (ctx.artifacts / "training.csv").open(newline="") as file:
        assert [float(row["loss"]) for row in csv.DictReader(file)] == [1 / e for e in range(1, 13)]
    assert pages(ctx.artifacts / "report.pdf") >= 2


def test_every_parameter_is_there_with_its_origin(report: TrainingReport, ctx: Context) -> None:
    note_choices(ctx.attempt_folder, {"patch_size": [32, 32]})
    report.begin(RECORD)
    origins = {each["name"]: (each["value"], each["origin"]) for each in read(ctx)["parameters"]}
    assert origins == {
        "epochs": (12, "request"),
        "patch_size": ([32, 32], "network"),
        "depth": (4, "preset"),
        "augmentation": (True, "default"),
    }


def test_a_methods_sentence_names_what_a_reader_needs(
    report: TrainingReport, task: TrainTask, ctx: Context
) -> None:
    write_history(task.model, rows(12))
    report.complete(FINISHED)
    methods = read(ctx)["methods"]
    for part in ("Spots 2D (spots 1.2.3, dl4mic)", "random weights", "2 images (label images)"):
        assert part in methods
    for part in ("1 image kept apart", "epochs 12", "1 h 1 min", "epoch 12", "numpy 2.0.0"):
        assert part in methods


def test_warnings_of_the_loss_are_events(
    report: TrainingReport, task: TrainTask, ctx: Context
) -> None:
    write_history(task.model, rows(12))
    report.complete(FINISHED)
    codes = [
        event["warning"]["code"]
        for _, event in read_events(ctx.attempt_folder)
        if "warning" in event
    ]
    assert codes == ["MODEL_UNDERFITTED"]


def test_without_a_loss_record_the_events_are_read(task: TrainTask, ctx: Context) -> None:
    ctx.metric("loss", 0.5, 1)
    ctx.metric("running_loss", 0.4, 1.5)
    ctx.metric("loss", 0.3, 2)
    ctx.metric("val_loss", 0.6, 2)
    assert recorded_history(task.model, ctx.attempt_folder) == [
        {"epoch": 1.0, "loss": 0.5},
        {"epoch": 2.0, "loss": 0.3, "val_loss": 0.6},
    ]


def test_a_training_image_that_is_gone_does_not_spoil_the_report(
    report: TrainingReport, task: TrainTask, ctx: Context
) -> None:
    task.train[0].source.unlink()
    report.complete(FINISHED)
    assert pages(ctx.artifacts / "report.pdf") >= 1


def test_stacks_are_drawn(
    report: TrainingReport, task: TrainTask, ctx: Context, tmp_path: Path
) -> None:
    (tmp_path / "stack").mkdir()
    item = write_pair(tmp_path / "stack", (6, 48, 64))
    task.train[0] = item  # type: ignore[index]
    patch = np.random.RandomState(0).rand(4, 16, 16)
    note_examples(ctx.attempt_folder, [(patch, patch)])
    report.begin(RECORD)
    assert pages(ctx.artifacts / "report.pdf") >= 1


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.24, "0.2 s"), (61, "1 min 1 s"), (3599.7, "1 h 0 min"), (7260, "2 h 1 min")],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text
