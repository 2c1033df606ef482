# SPDX-License-Identifier: BSD-3-Clause
"""Restoration from images to scores, as the worker runs it: what the SDK does for every network of the kind."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from dl4mic.manifest import read_service
from dl4mic_sdk import verbs
from dl4mic_sdk.context import Context
from dl4mic_sdk.device import Device
from dl4mic_sdk.events import EventWriter, read_events
from dl4mic_sdk.images import Image, inspect, read, write
from dl4mic_sdk.worker import import_network

SERVICE = Path(__file__).resolve().parents[1]
RECORDS = read_service(SERVICE).records
SUPERVISION = {name: record["supervision"] for name, record in RECORDS.items()}
PIXEL_SIZE = {"Y": 0.25, "X": 0.25}
plugin = import_network(SERVICE)


def write_pairs(folder: Path, count: int, seed: int, shape: tuple[int, ...] = (96, 96)) -> None:
    """Write images of spots with noise, and without."""
    random = np.random.default_rng(seed)
    for number in range(count):
        points = (random.random(shape) > 0.99).astype(float)
        clean = 300 + 40000 * ndimage.gaussian_filter(points, 2.5)
        noisy = clean + random.normal(0, 300, shape)
        for kind, pixels in (("high", clean), ("low", noisy)):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            stored = np.clip(pixels, 0, 65535).astype(np.uint16)
            write(folder / kind / f"spots{number}.tif", Image(stored, "YX", PIXEL_SIZE))


def as_ome(path: Path) -> None:
    """Make a file an OME-TIFF."""
    about = {"axes": "YX", "Description": "48 h", "PhysicalSizeX": 0.25, "PhysicalSizeY": 0.25}
    tifffile.imwrite(path.with_suffix(".ome.tif"), read(path).pixels, ome=True, metadata=about)
    path.unlink()


@dataclass(frozen=True)
class Job:
    """One attempt of a job."""

    folder: Path

    @property
    def artifacts(self) -> Path:
        return self.folder / "artifacts"

    @property
    def reference(self) -> dict[str, str]:
        return {"name": "spots:1", "folder": str(self.artifacts / "model"), "weights": "best"}

    def codes(self) -> list[str]:
        return [
            event["warning"]["code"] for _, event in read_events(self.folder) if "warning" in event
        ]

    def left(self) -> set[str]:
        return {path.name for path in self.artifacts.iterdir()}

    def declared(self) -> set[str]:
        """What the manifest says that it leaves; no other is announced to users."""
        request = json.loads((self.folder / "request.json").read_text())
        return set(request["manifest"]["outputs"][request["verb"]])

    def scores(self) -> Any:
        return json.loads((self.artifacts / "qc.json").read_text())


def run(folder: Path, verb: str, network: str, **options: Any) -> Job:
    """Do a job on images (and targets) in this process; `given` are parameters."""
    declared = RECORDS[network]["parameters"].items()
    defaults = {name: each.get("default") for name, each in declared if verb in each["verbs"]}
    given = options.pop("given", {})
    source, target = options.pop("source", None), options.pop("target", None)
    request = {
        "job_id": "job", "attempt": 1, "verb": verb, "network": network, "service_folder": str(SERVICE),
        "service_version": "0.1.0", "preset": "default", "parameters": {**defaults, **given}, "given": sorted(given),
        "validation": None, "model_name": "spots", "parent": None, "models": [], "prediction": None, "device": "cpu",
        "previous": None, "manifest": RECORDS[network], **options,
    }  # fmt: skip
    if verb != "import_model" and verb != "export_model":
        supervision = SUPERVISION[network] if target else "none"
        data = {
            "supervision": supervision,
            "source": str(source),
            "target": str(target or ""),
            "axes": "",
        }
        request["data"] = data
    elif source:
        request["source"] = str(source)
    (folder / "1" / "artifacts").mkdir(parents=True)
    (folder / "1" / "request.json").write_text(json.dumps(request), encoding="utf-8")
    ctx = Context(folder / "1", EventWriter(folder / "1"), Device("cpu", "test"))
    data_summary = verbs.check(request, ctx)
    chosen = plugin.networks[network](network, request["parameters"])
    verbs.RUN[verb](request, data_summary, chosen, ctx)
    return Job(folder / "1")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_pairs(folder / "train", 4, seed=1)
    write_pairs(folder / "test", 3, seed=2)
    as_ome(folder / "test" / "low" / "spots2.tif")
    return folder


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Job]:
    """A model of each network: of pairs, and of the noisy images alone."""
    source, target = data / "train" / "low", data / "train" / "high"
    place = tmp_path_factory.mktemp("trained")
    return {
        "smooth": run(place / "a", "train", "smooth", source=source, target=target),
        "smoothself": run(place / "b", "train", "smoothself", source=source),
    }


def width_of(job: Job) -> float:
    text = (job.artifacts / "model" / "weights_best.json").read_text()
    return float(json.loads(text)["width"])


@pytest.mark.parametrize("name", ["smooth", "smoothself"])
def test_the_width_that_restores_best_is_learned(
    name: str, data: Path, trained: dict[str, Job]
) -> None:
    pairs = [
        [read(data / "train" / kind / f"spots{number}.tif").pixels for kind in ("low", "high")]
        for number in range(4)
    ]
    widths = np.geomspace(0.5, 6, 100)
    errors = [np.mean([plugin.loss_of(*pair, width) for pair in pairs]) for width in widths]
    best = widths[int(np.argmin(errors))]
    assert width_of(trained[name]) == pytest.approx(best, rel=0.1)


@pytest.mark.parametrize("name", ["smooth", "smoothself"])
def test_a_job_leaves_model_report_and_no_warning(name: str, trained: dict[str, Job]) -> None:
    record = json.loads((trained[name].artifacts / "model" / "model.json").read_text())
    assert record["complete"] and record["task"] == "restoration" and record["channels"] == 1
    assert (trained[name].artifacts / "report.pdf").read_bytes().startswith(b"%PDF")
    assert [code for code in trained[name].codes() if not code.startswith("MODEL_")] == []


@pytest.mark.parametrize("kind", ["float32", "source"])
def test_a_prediction_keeps_the_image_what_it_was(
    kind: str, data: Path, trained: dict[str, Job], tmp_path: Path
) -> None:
    given = {"output_type": kind, "tile": [48, 40], "tile_overlap": 32}
    models = [trained["smooth"].reference]
    source = data / "test" / "low"
    job = run(tmp_path, "predict", "smooth", source=source, models=models, given=given)
    assert job.codes() == []
    for image in sorted(source.iterdir()):
        info = inspect(job.artifacts / "predictions" / image.name)
        wanted = np.uint16 if kind == "source" else np.float32
        assert (info.axes, info.shape, info.dtype) == ("YX", (96, 96), wanted)
        assert info.pixel_size == pytest.approx(PIXEL_SIZE)
        found = read(info.path).pixels.astype(float)
        whole = plugin.smooth(read(image).pixels.astype(np.float32), width_of(trained["smooth"]))
        atol = 0.51 if kind == "source" else 0.01
        np.testing.assert_allclose(found, whole, rtol=0, atol=atol)
    with tifffile.TiffFile(job.artifacts / "predictions" / "spots2.ome.tif") as file:
        assert "48 h" in (file.ome_metadata or "")


def test_a_large_image_is_restored_from_disk(
    data: Path, trained: dict[str, Job], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dl4mic_sdk.folder_predict.LARGE_PIXELS", 1000)
    models, source = [trained["smooth"].reference], data / "test" / "low"
    given = {"output_type": "source", "tile": [48, 48]}
    large = run(tmp_path / "a", "predict", "smooth", source=source, models=models, given=given)
    monkeypatch.undo()
    small = run(tmp_path / "b", "predict", "smooth", source=source, models=models, given=given)
    for image in source.iterdir():
        one, other = (read(each.artifacts / "predictions" / image.name) for each in (large, small))
        np.testing.assert_array_equal(one.pixels, other.pixels)


@pytest.mark.parametrize("name", ["smooth", "smoothself"])
def test_a_model_scores_above_its_source_and_as_the_tuned_filter(
    name: str, data: Path, trained: dict[str, Job], tmp_path: Path
) -> None:
    test, models = data / "test", [trained[name].reference]
    job = run(tmp_path, "qc", name, source=test / "low", target=test / "high", models=models)
    means = job.scores()["models"][0]["mean"]
    psnr = {each: means[f"restoration.standard.psnr{each}/1"] for each in ("", ".source")}
    assert psnr[""] > psnr[".source"] + 5
    for each in (trained[name], job):
        assert each.left() == each.declared()
    if name == "smooth":
        assert psnr[""] > means["restoration.standard.psnr.gaussian/1"] - 0.1
    assert (job.artifacts / "report.pdf").read_bytes().startswith(b"%PDF")


def test_a_model_is_looked_at_without_targets(
    data: Path, trained: dict[str, Job], tmp_path: Path
) -> None:
    models, source = [trained["smoothself"].reference], data / "test" / "low"
    job = run(tmp_path, "qc", "smoothself", source=source, models=models)
    assert "no target was given" in " ".join(job.scores()["left_out"])


@pytest.mark.parametrize("name", ["smooth", "smoothself"])
def test_a_model_goes_out_and_comes_in(
    name: str, data: Path, trained: dict[str, Job], tmp_path: Path
) -> None:
    models = [trained[name].reference]
    exported = run(tmp_path / "a", "export_model", name, models=models, format="plain")
    (archive,) = (exported.artifacts / "export").iterdir()
    imported = run(tmp_path / "b", "import_model", name, source=archive, format="")
    assert width_of(imported) == width_of(trained[name])
