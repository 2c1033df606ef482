# SPDX-License-Identifier: BSD-3-Clause
"""Quality control of restoration, from images to report: beside the source and tuned filters, and without targets."""

from __future__ import annotations

import csv
import json
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple
from unittest.mock import patch

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from dl4mic_sdk import images
from dl4mic_sdk.context import Context
from dl4mic_sdk.data_check import check_data
from dl4mic_sdk.data_summary import DataSummary
from dl4mic_sdk.device import Device
from dl4mic_sdk.errors import DataError, SdkError
from dl4mic_sdk.events import EventWriter
from dl4mic_sdk.images import Image
from dl4mic_sdk.network import Network
from dl4mic_sdk.pages import Document
from dl4mic_sdk.prediction import Prediction
from dl4mic_sdk.qc.comparison import Comparison
from dl4mic_sdk.qc.score import score, score_finished
from dl4mic_sdk.task import ModelFolder, QcTask

SSIM, PSNR = "restoration.standard.ssim/1", "restoration.standard.psnr/1"
SOURCE_SSIM, GAUSSIAN_SSIM = (
    "restoration.standard.ssim.source/1",
    "restoration.standard.ssim.gaussian/1",
)
NOISE = 8000.0


class Smooths(Network):
    """Smooths by the sigma in the model's record; breaks images called bad."""

    def train(self, task: Any, ctx: Any) -> None:
        raise AssertionError("not in quality control")

    def load(self, model: ModelFolder) -> None:
        self._sigma = float(model.record["sigma"])

    def predict_image(self, image: Image) -> Prediction:
        sigma = [self._sigma if axis in "YX" else 0.0 for axis in image.axes]
        smooth = gaussian_filter(image.pixels.astype(np.float32), sigma)
        if image.name.startswith("bad"):
            smooth[..., 0] = np.nan
        return Prediction({"restored": image.with_pixels(smooth)})


def write_pairs(
    folder: Path,
    names: Sequence[str],
    shape: Tuple[int, ...] = (48, 56),
    seed: int = 0,
    axes: str = "",
) -> None:
    """Write smooth targets and noisy sources of them."""
    random = np.random.RandomState(seed)
    for name in names:
        rough = gaussian_filter(random.rand(*shape), 3)
        target = ((rough - rough.min()) / (rough.max() - rough.min()) * 40000 + 5000).astype(
            np.uint16
        )
        source = np.clip(target + random.normal(0, NOISE, shape), 0, 65535).astype(np.uint16)
        for part, pixels in (("source", source), ("target", target)):
            (folder / part).mkdir(parents=True, exist_ok=True)
            about = (axes or "ZYX"[-len(shape) :], {"X": 0.1, "Y": 0.1, "Z": 0.3})
            images.write(folder / part / (name + ".tif"), Image(pixels, *about))


def checked(folder: Path, verb: str, target: bool = True, **more: Any) -> DataSummary:
    """Check a folder's pairs as the data of a job."""
    data = {"source": str(folder / "source"), "target": str(folder / "target") if target else ""}
    manifest = {"supervision": "paired_images", "task": "restoration", "axes": []}
    request = {
        "verb": verb, "network": "smooths", "data": data, "validation": None, "models": [],
        "parameters": {"validation_fraction": 0.2}, "manifest": manifest, "previous": None,
    }  # fmt: skip
    return check_data(dict(request, **more))


def context(folder: Path) -> Context:
    attempt = folder / "job" / "1"
    (attempt / "artifacts").mkdir(parents=True)
    return Context(attempt, EventWriter(attempt), Device("cpu", "test processor"))


def model(
    folder: Path, name: str, sigma: float, trained: Optional[DataSummary] = None
) -> ModelFolder:
    path = folder / "models" / name
    path.mkdir(parents=True)
    data = json.loads(json.dumps(trained.as_record())) if trained else {}
    return ModelFolder(name, path, "best", {"sigma": sigma, "data": data})


def task(ctx: Context, data: DataSummary, models: Sequence[ModelFolder], **more: Any) -> QcTask:
    title = {"title": "Smooths"}
    return QcTask(
        "smooths", {}, data.items, models, ctx.artifacts, "restoration", data, title, **more
    )


def run(folder: Path, data: DataSummary, *models: ModelFolder) -> Dict[str, Any]:
    """Score without pictures and report, which take most of the time."""
    with patch("dl4mic_sdk.qc.score.draw_panels"), patch("dl4mic_sdk.qc.report.write_report"):
        return run_whole(folder, data, *models)


def run_whole(folder: Path, data: DataSummary, *models: ModelFolder) -> Dict[str, Any]:
    ctx = context(folder)
    score(Smooths("smooths", {}), task(ctx, data, models), ctx)
    return result_of(ctx)


def result_of(ctx: Context) -> Dict[str, Any]:
    found: Dict[str, Any] = json.loads((ctx.artifacts / "qc.json").read_text(encoding="utf-8"))
    return found


def codes(found: Dict[str, Any]) -> List[str]:
    return [each["code"] for each in found["warnings"]]


@pytest.fixture
def six(tmp_path: Path) -> DataSummary:
    write_pairs(tmp_path / "test", ["a{}".format(n) for n in range(6)])
    return checked(tmp_path / "test", "qc")


def test_prediction_and_source_stand_side_by_side(tmp_path: Path, six: DataSummary) -> None:
    found = run(tmp_path, six, model(tmp_path, "m", 2.0))
    assert found["task"] == "restoration" and found["ranked_by"] == SSIM
    assert found["mean"][SSIM] > 0.8 > 0.4 > found["mean"][SOURCE_SSIM]
    assert found["mean"][PSNR] > found["mean"]["restoration.standard.psnr.source/1"] + 5
    assert set(found["headline"]) <= set(found["definitions"]) == set(found["pooled"])
    assert codes(found) == []


def test_what_is_left_behind(tmp_path: Path, six: DataSummary) -> None:
    run_whole(tmp_path, six, model(tmp_path, "m", 2.0))
    made = tmp_path / "job" / "1" / "artifacts"
    named = {str(path.relative_to(made)) for path in made.rglob("*.*")}
    maps = ("ssim", "signed_error", "absolute_error")
    assert named == {
        "qc.json", "qc.csv", "report.pdf",
        *("panels/a{}.png".format(n) for n in range(6)),
        *("predictions/a{}.tif".format(n) for n in range(6)),
        *("maps/{}/a{}.tif".format(each, n) for each in maps for n in range(6)),
        *("maps/source_{}/a{}.tif".format(each, n) for each in maps for n in range(6)),
    }  # fmt: skip
    signed, absolute = (images.read(made / "maps" / each / "a0.tif") for each in maps[1:])
    assert signed.pixels.dtype == np.float32 and signed.pixel_size["X"] == pytest.approx(0.1)
    assert signed.pixels.min() < 0 < signed.pixels.max()
    np.testing.assert_array_equal(absolute.pixels, np.abs(signed.pixels))
    similarity = images.read(made / "maps" / "ssim" / "a0.tif").pixels[5:-5, 5:-5]
    with (made / "qc.csv").open(newline="", encoding="utf-8") as file:
        row = next(csv.DictReader(file))
    assert float(row[SSIM]) == pytest.approx(similarity.mean(dtype=np.float64), rel=1e-6)


@pytest.fixture
def report(monkeypatch: pytest.MonkeyPatch) -> Dict[str, List[Any]]:
    """What is set into a report: kind -> arguments of each call; of diagrams the axes that were drawn."""
    said: Dict[str, List[Any]] = {}

    def note(kind: str) -> None:
        real = getattr(Document, kind)

        def noting(document: Any, *arguments: Any, **options: Any) -> None:
            real(document, *arguments, **options)
            drawn = document._page.axes[-len(arguments[0]) :] if kind == "plots" else arguments
            said.setdefault(kind, []).append(drawn)

        monkeypatch.setattr(Document, kind, noting)

    for each in ("heading", "notice", "panel", "plots"):
        note(each)
    return said


def test_the_report_shows_warnings_panels_and_the_loss_linear_and_logarithmic(
    tmp_path: Path, report: Dict[str, List[Any]]
) -> None:
    write_pairs(tmp_path / "test", ["a", "b"])
    trained = model(tmp_path, "m", 2.0)
    losses = [1 / epoch for epoch in range(1, 10)]
    validation = [0.9, 0.5, 0.3, 0.2, 0.3, 0.4, 0.4, 0.4, 0.4]
    rows = ["{},{},{}".format(n, *pair) for n, pair in enumerate(zip(losses, validation), 1)]
    (trained.path / "history.csv").write_text("\n".join(["epoch,loss,val_loss", *rows, ""]))
    run_whole(tmp_path, checked(tmp_path / "test", "qc"), trained)

    assert [code for code, _ in report["notice"]] == ["MODEL_OVERFITTED", "QC_FEW_IMAGES"]
    assert "epoch 4" in report["notice"][0][1]
    captions = [caption.split(":")[0] for _, _, caption in report["panel"]]
    assert captions == ["Worst image", "Best image"]
    for panel, _, _ in report["panel"]:
        assert {"source", "prediction", "target", "error"} <= {each.title for each in panel.tiles}
    assert "Loss while the model was trained" in [each[0] for each in report["heading"]]
    linear, logarithmic = report["plots"][-1]
    assert (linear.get_yscale(), logarithmic.get_yscale()) == ("linear", "log")
    for axes in (linear, logarithmic):
        shown = [list(line.get_ydata()) for line in axes.lines[:2]]
        assert shown == [pytest.approx(losses), pytest.approx(validation)]
        named = [text.get_text() for text in axes.get_legend().get_texts()]
        assert named == ["training", "validation", "lowest, epoch 4"]


def test_without_a_loss_record_the_report_has_no_page_of_it(
    tmp_path: Path, report: Dict[str, List[Any]]
) -> None:
    write_pairs(tmp_path / "test", ["a"])
    run_whole(tmp_path, checked(tmp_path / "test", "qc"), model(tmp_path, "m", 2.0))
    assert not [each for each in report["heading"] if each[0].startswith("Loss")]


def test_the_gain_over_the_source_is_tested(tmp_path: Path, six: DataSummary) -> None:
    found = run(tmp_path, six, model(tmp_path, "m", 2.0))
    tests = {(each["score"], each["baseline"]): each for each in found["baselines"]["tests"]}
    against_source = tests[SSIM, SOURCE_SSIM]
    # Six images, better on all: two of the 2**6 signs are as extreme.
    assert (against_source["better"], against_source["p"]) == (6, 2 / 2**6)
    assert against_source["verdict"] == "better on most images"


def test_a_model_that_makes_images_worse_is_warned_of(tmp_path: Path, six: DataSummary) -> None:
    found = run(tmp_path, six, *(model(tmp_path, name, s) for name, s in (("m", 2.0), ("n", 24.0))))
    (warning,) = (each for each in found["warnings"] if each["code"] == "QC_WORSE_THAN_SOURCE")
    assert warning["message"].startswith("n: ") and "PSNR" in warning["message"]


def test_filters_are_tuned_on_the_training_pairs(tmp_path: Path, six: DataSummary) -> None:
    write_pairs(tmp_path / "train", ["t1", "t2"], (64, 64), seed=1)
    trained = checked(tmp_path / "train", "train")
    found = run(tmp_path, six, model(tmp_path, "m", 0.3, trained))
    gaussian, median = found["baselines"]["filters"]
    assert (gaussian["kind"], median["kind"]) == ("gaussian", "median")
    assert 1.0 < gaussian["width"] < 6.0
    assert found["baselines"]["tuned_on_pairs"] == 2 and found["left_out"] == []
    assert found["mean"][GAUSSIAN_SSIM] > found["mean"][SSIM] > found["mean"][SOURCE_SSIM]
    verdicts = {each["baseline"]: each["verdict"] for each in found["baselines"]["tests"]}
    assert verdicts[GAUSSIAN_SSIM] == "worse on most images"


def test_filters_are_left_out_where_the_training_images_are_gone(
    tmp_path: Path, six: DataSummary
) -> None:
    write_pairs(tmp_path / "train", ["t1", "t2"])
    trained = checked(tmp_path / "train", "train")
    for path in (tmp_path / "train" / "target").iterdir():
        path.unlink()
    found = run(tmp_path, six, model(tmp_path, "m", 2.0, trained))
    assert found["baselines"]["filters"] == []
    (said,) = found["left_out"]
    assert "m: its training images are no longer where they were" in said
    assert GAUSSIAN_SSIM not in found["definitions"]


def test_filters_are_never_tuned_on_the_test_images(tmp_path: Path, six: DataSummary) -> None:
    trained = checked(tmp_path / "test", "train")
    found = run(tmp_path, six, model(tmp_path, "m", 2.0, trained))
    assert found["baselines"]["filters"] == []
    assert "the test images are those it was trained on" in found["left_out"][0]
    assert "QC_IMAGES_WERE_TRAINED_ON" in codes(found)


def test_filters_where_nothing_is_known_of_the_training(tmp_path: Path, six: DataSummary) -> None:
    found = run(tmp_path, six, model(tmp_path, "m", 2.0))
    assert "nothing is known of the images it was trained on" in found["left_out"][0]


def test_several_models_are_ranked(tmp_path: Path, six: DataSummary) -> None:
    models = [model(tmp_path, "m{}".format(n), s) for n, s in enumerate((12.0, 2.0))]
    found = run(tmp_path, six, *models)
    assert found["best_model"]["name"] == "m1"
    assert found["models"][1]["against_best"]["verdict"] == "worse than the best"
    made = tmp_path / "job" / "1" / "artifacts" / "maps"
    assert sorted(each.name for each in made.iterdir()) == ["m0", "m1"]


def test_a_broken_prediction_fails_alone(tmp_path: Path) -> None:
    write_pairs(tmp_path / "test", ["a", "bad"])
    found = run(tmp_path, checked(tmp_path / "test", "qc"), model(tmp_path, "m", 2.0))
    assert [row["image"] for row in found["per_image"]] == ["a"]
    assert "NaN" in found["failed"][0]["message"]
    assert {"QC_IMAGES_FAILED", "QC_FEW_IMAGES"} <= set(codes(found))


def test_a_constant_target_is_left_out_of_the_means(tmp_path: Path) -> None:
    write_pairs(tmp_path / "test", ["a", "b"])
    images.write(
        tmp_path / "test" / "target" / "b.tif", Image(np.full((48, 56), 9, np.uint16), "YX")
    )
    found = run(tmp_path, checked(tmp_path / "test", "qc"), model(tmp_path, "m", 2.0))
    assert found["spread"][SSIM]["images"] == 1
    assert "QC_EMPTY_IMAGES" in codes(found)


def test_little_foreground_is_warned_of(tmp_path: Path) -> None:
    write_pairs(tmp_path / "test", ["a"])
    spots = np.full((48, 56), 100, np.uint16)
    spots[20:24, 20:28] = 5000
    images.write(tmp_path / "test" / "target" / "a.tif", Image(spots, "YX"))
    found = run(tmp_path, checked(tmp_path / "test", "qc"), model(tmp_path, "m", 2.0))
    assert found["pooled"]["restoration.foreground/1"] == pytest.approx(32 / (48 * 56))
    assert "QC_LITTLE_FOREGROUND" in codes(found)


def test_stacks_have_numbers_by_plane(tmp_path: Path) -> None:
    write_pairs(tmp_path / "test", ["a", "b"], (6, 40, 40))
    write_pairs(tmp_path / "train", ["t1", "t2"], (6, 40, 40), seed=1)
    trained = checked(tmp_path / "train", "train")
    found = run_whole(
        tmp_path, checked(tmp_path / "test", "qc"), model(tmp_path, "m", 2.0, trained)
    )
    made = tmp_path / "job" / "1" / "artifacts"
    with (made / "qc_slices.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["image"], row["slice"]) for row in rows[5:7]] == [("a", "5"), ("b", "0")]
    of_a = [float(row[SSIM]) for row in rows[:6]]
    assert np.mean(of_a) == pytest.approx(found["per_image"][0]["numbers"][SSIM])
    assert images.read(made / "maps" / "ssim" / "a.tif").axes == "ZYX"
    assert (made / "panels" / "a.png").exists()


def test_channels_are_kept(tmp_path: Path) -> None:
    write_pairs(tmp_path / "test", ["a"], (2, 40, 40), axes="CYX")
    found = run(tmp_path, checked(tmp_path / "test", "qc"), model(tmp_path, "m", 2.0))
    assert found["mean"][SSIM] > found["mean"][SOURCE_SSIM]
    made = tmp_path / "job" / "1" / "artifacts"
    assert images.read(made / "maps" / "ssim" / "a.tif").axes == "CYX"


def test_finished_predictions_of_two_folders(tmp_path: Path) -> None:
    write_pairs(tmp_path / "test", ["a", "b"])
    ctx = context(tmp_path)
    finished = str(tmp_path / "test" / "source")
    data = checked(tmp_path / "test", "qc", prediction=finished)
    score_finished(task(ctx, data, []), ctx)
    found = result_of(ctx)
    assert found["mean"][SSIM] < 0.5 and found["mean"][SOURCE_SSIM] is None
    assert "no model was given" in found["left_out"][0]
    assert (ctx.artifacts / "report.pdf").read_bytes().startswith(b"%PDF")


def test_without_targets_it_says_what_it_can_and_what_it_cannot(tmp_path: Path) -> None:
    write_pairs(tmp_path / "test", ["a", "b", "c"])
    data = checked(tmp_path / "test", "qc", target=False)
    found = run_whole(tmp_path, data, model(tmp_path, "right", 1.5), model(tmp_path, "wrong", 12.0))
    assert [each["label"] for each in found["models"]] == ["right", "wrong"]
    assert found["mean"]["restoration.noise_removed/1"] > 0.8
    # What the wide filter took away holds structure: neighbours in the residual are alike.
    assert found["models"][1]["mean"]["restoration.residual_correlation/1"] > 0.2
    assert "no target was given" in found["left_out"][0]
    made = tmp_path / "job" / "1" / "artifacts"
    assert images.read(made / "maps" / "right" / "residual" / "a.tif").pixels.dtype == np.float32


def test_noisy_images_are_scored_against_targets_where_these_are_given(tmp_path: Path) -> None:
    write_pairs(tmp_path / "test", ["a", "b"])
    manifest = {"supervision": "noisy_images", "task": "restoration", "axes": []}
    data = checked(tmp_path / "test", "qc", manifest=manifest)
    assert all(item.target is not None for item in data.items)
    assert SSIM in run(tmp_path, data, model(tmp_path, "m", 2.0))["mean"]


def test_objects_cannot_be_scored_without_targets(tmp_path: Path) -> None:
    write_pairs(tmp_path / "test", ["a"])
    data = checked(tmp_path / "test", "qc", target=False)
    ctx = context(tmp_path)
    asked = task(ctx, data, [model(tmp_path, "m", 2.0)])
    objects = QcTask(**dict(vars(asked), task_kind="instance segmentation"))
    with pytest.raises(SdkError, match="needs targets"):
        score(Smooths("smooths", {}), objects, ctx)


def test_nothing_comparable_is_refused(tmp_path: Path) -> None:
    write_pairs(tmp_path / "test", ["bad"])
    with pytest.raises(DataError, match="none of the 1 images could be scored"):
        run(tmp_path, checked(tmp_path / "test", "qc"), model(tmp_path, "m", 2.0))


def test_one_pair_is_in_memory_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a thousand predictions with their targets and sources, no more than those of one are there at once."""
    write_pairs(tmp_path / "test", ["a"], (16, 16))
    finished = str(tmp_path / "test" / "source")
    item = checked(tmp_path / "test", "qc", prediction=finished).items[0]
    items = tuple(replace(item, name="i{}".format(n)) for n in range(1000))
    live: List[Any] = []
    most = [0]

    def read(*arguments: Any) -> Image:
        image = images.read(*arguments)
        image = image.with_pixels(np.array(image.pixels))
        live[:] = [each for each in live if each() is not None] + [weakref.ref(image.pixels)]
        most[0] = max(most[0], len(live))
        return image

    monkeypatch.setattr("dl4mic_sdk.pairs.read", read)
    monkeypatch.setattr(images, "write", lambda *_: None)
    scored: List[Comparison] = []
    monkeypatch.setattr("dl4mic_sdk.qc.score.conclude", lambda each, *_: scored.append(each))
    ctx = context(tmp_path)
    sources = {each.name: each for each in items}
    asked = task(ctx, DataSummary("paired_images", items), [], sources=sources)
    score_finished(asked, ctx)
    assert len(scored[0].best.rows) == 1000
    # While one is read, the one before may still be there.
    assert 3 <= most[0] <= 6
