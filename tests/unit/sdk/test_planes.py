# SPDX-License-Identifier: BSD-3-Clause
"""Stacks and series through a network for single planes, and large images through one that reads parts."""

from __future__ import annotations

import csv
import io
import zipfile
from pathlib import Path
from typing import Any, Dict, List, Optional

import numpy as np
import pytest
from scipy import ndimage

from dl4mic_sdk import folder_predict
from dl4mic_sdk.array_on_disk import ArrayOnDisk
from dl4mic_sdk.data_rules import Need, header_fault, planes_of
from dl4mic_sdk.errors import Stopped
from dl4mic_sdk.images import Image, ImageOnDisk, inspect, read, write
from dl4mic_sdk.network import Network
from dl4mic_sdk.pairs import Item
from dl4mic_sdk.prediction import Prediction, Table
from dl4mic_sdk.spots import COLUMNS
from tests.unit.sdk.test_folder_predict import FakeContext, run

RECORDED = Path(__file__).with_name("trackmate_spots.csv")
"""Head of a table of spots that TrackMate exported: key, name, short name and unit of each feature. Its version was not
recorded; the keys that we write are those of the classes `Spot`, `SpotIntensityMultiCAnalyzerFactory` and
`SpotShapeAnalyzerFactory` of version 7 (https://github.com/trackmate-sc/TrackMate)."""


class Bright(Network):
    """Finds what is bright in a plane."""

    def train(self, task: Any, ctx: Any) -> None:
        raise AssertionError

    def load(self, model: Any) -> None:
        raise AssertionError

    def predict_image(self, image: Image) -> Prediction:
        assert image.axes == "YX"
        labels, count = ndimage.label(image.pixels > 5)
        numbers = range(1, count + 1)
        centres = ndimage.center_of_mass(labels > 0, labels, numbers)
        rows = [
            [n, round(y, 4), round(x, 4), int((labels == n).sum()), 0.5]
            for n, (y, x) in zip(numbers, centres)
        ]
        columns = ["label", "centroid_y_px", "centroid_x_px", "area_px", "probability"]
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as file:
            for n in numbers:
                file.writestr("{}.roi".format(n + image.labels_before), str(image.position))
        return Prediction(
            {"labels": image.with_pixels(labels), "doubled": image.with_pixels(2 * image.pixels)},
            labels=True,
            tables={"objects": Table(columns, rows)},
            files={"_rois.zip": archive.getvalue(), "_note.txt": b"seen"},
        )


class InParts(Bright):
    """Does large images row by row, and remembers that it did."""

    def __init__(self) -> None:
        super().__init__("parts", {})
        self.parts = 0

    def predict_large(self, image: ImageOnDisk, scratch: Path) -> Optional[Prediction]:
        labels = ArrayOnDisk(scratch / "labels", image.shape, np.uint32)
        for row in range(image.shape[0]):
            found = image.read({"Y": slice(row, row + 1)}) > 5
            labels[row : row + 1, :] = found
            self.parts += 1
        (scratch / "table").write_text("label\n1\n")
        whole = labels.as_image(image.axes, image.pixel_size, image.name)
        return Prediction({"labels": whole}, True, files={"_objects.csv": scratch / "table"})


def series() -> np.ndarray:
    """Three frames with 2, 0 and 1 bright objects."""
    pixels = np.zeros((3, 20, 30), np.uint16)
    pixels[0, 2:4, 3:7] = pixels[0, 10:14, 20:22] = pixels[2, 5:7, 5:7] = 9
    return pixels


def item(path: Path, image: Image, planes: str) -> Item:
    write(path, image)
    return Item(path.stem, path, None, image.axes, image.pixels.shape, planes=planes)


@pytest.fixture()
def output(tmp_path: Path) -> Path:
    """Results of a time series of three frames, 0.5 µm a pixel and 10 s apart."""
    one = Image(series(), "TYX", {"T": 10.0, "Y": 0.5, "X": 0.5})
    ctx = FakeContext()
    failed = run(Bright("bright", {}), [item(tmp_path / "a.tif", one, "T")], tmp_path / "out", ctx)
    assert failed == {}
    return tmp_path / "out"


def rows_of(path: Path) -> List[Dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_result_has_the_axes_of_the_image_and_no_number_twice(output: Path) -> None:
    labels = read(output / "a.tif")
    assert (labels.axes, labels.pixels.shape, labels.pixels.dtype) == ("TYX", (3, 20, 30), "uint16")
    assert labels.pixel_size == pytest.approx({"T": 10.0, "Y": 0.5, "X": 0.5})
    assert [np.unique(each).tolist() for each in labels.pixels] == [[0, 1, 2], [0], [0, 3]]
    np.testing.assert_array_equal(labels.pixels > 0, series() > 5)
    np.testing.assert_array_equal(read(output / "doubled" / "a.tif").pixels, 2 * series())
    assert not list(output.glob(".*"))


def test_one_table_says_the_frame_of_every_object(output: Path) -> None:
    rows = rows_of(output / "a_objects.csv")
    assert [(row["frame"], row["label"], row["area_px"]) for row in rows] == [
        ("0", "1", "8"),
        ("0", "2", "8"),
        ("2", "3", "4"),
    ]


def test_archives_of_all_planes_are_one_and_other_files_have_their_planes_name(
    output: Path,
) -> None:
    with zipfile.ZipFile(str(output / "a_rois.zip")) as archive:
        assert archive.namelist() == ["1.roi", "2.roi", "3.roi"]
        assert archive.read("3.roi") == b"{'T': 2}"
    assert (output / "a_t0001_note.txt").read_bytes() == b"seen"


def test_spots_are_what_trackmate_imports(output: Path) -> None:
    known = RECORDED.read_text().splitlines()[0].split(",")
    rows = rows_of(output / "a_spots.csv")
    assert tuple(rows[0]) == COLUMNS and set(COLUMNS) <= set(known)
    # As TrackMate-CSVImporter parses them: whole numbers in ID and FRAME, numbers elsewhere.
    assert [(int(row["ID"]), int(row["FRAME"])) for row in rows] == [(1, 0), (2, 0), (3, 2)]
    last = {name: float(rows[2][name]) for name in COLUMNS[:-1]}
    assert (last["POSITION_X"], last["POSITION_Y"], last["POSITION_Z"]) == (2.75, 2.75, 0)
    assert (last["POSITION_T"], last["AREA"], last["QUALITY"]) == (20, 1, 0.5)
    assert last["RADIUS"] == pytest.approx((1 / np.pi) ** 0.5, abs=1e-4)


def test_stacks_over_time_are_taken_apart_along_both(tmp_path: Path) -> None:
    pixels = np.stack([series(), series()[::-1]])
    one = item(tmp_path / "a.tif", Image(pixels, "TZYX", {"Z": 2.0}), "TZ")
    run(Bright("bright", {}), [one], tmp_path / "out")
    labels = read(tmp_path / "out" / "a.tif")
    assert (labels.axes, labels.pixels.max()) == ("TZYX", 6)
    rows = rows_of(tmp_path / "out" / "a_objects.csv")
    assert [(r["frame"], r["plane"]) for r in rows] == [
        *[("0", "0")] * 2, ("0", "2"), ("1", "0"), *[("1", "2")] * 2
    ]  # fmt: skip
    spots = rows_of(tmp_path / "out" / "a_spots.csv")
    assert {row["POSITION_Z"] for row in spots} == {"0.0", "2.0"}  # no unit where X is not known


def need(axes: Any, verb: str = "predict", channel: Optional[int] = None) -> Need:
    return Need("images", axes, channel, True, {}, verb != "predict")


@pytest.mark.parametrize(
    "axes, accepted, planes",
    [
        ("YX", ("YX",), ""),
        ("TYX", ("YX",), "T"),
        ("TZYX", ("YX",), "TZ"),
        ("TZYX", ("YX", "ZYX"), "T"),
        ("ZYX", ("YX", "ZYX"), ""),
        ("TCYX", ("YX", "CYX"), "T"),
        ("CYX", ("YX",), None),
        ("YX", ("ZYX",), None),
        ("TCYX", (), ""),
    ],
)
def test_which_axes_are_taken_apart(axes: str, accepted: Any, planes: Optional[str]) -> None:
    assert planes_of(axes, need(accepted)) == planes


def test_training_takes_nothing_apart_and_a_channel_counts_as_taken(tmp_path: Path) -> None:
    write(tmp_path / "a.tif", Image(np.zeros((3, 2, 8, 9), np.uint8), "TCYX"))
    info = inspect(tmp_path / "a.tif")
    assert planes_of(info.axes, need(("YX",), channel=1)) == "T"
    assert planes_of("TYX", need(("YX",), verb="train")) is None
    assert header_fault(info, need(("YX",), channel=1)) is None


def test_a_large_image_is_read_in_parts(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(folder_predict, "LARGE_PIXELS", 100)
    pixels = series()[0]
    items = [
        item(tmp_path / "large.tif", Image(pixels, "YX", {"Y": 0.5, "X": 0.5}), ""),
        item(tmp_path / "small.tif", Image(pixels[:5, :8], "YX"), ""),
    ]
    network = InParts()
    assert run(network, items, tmp_path / "out") == {}
    assert network.parts == 20
    np.testing.assert_array_equal(read(tmp_path / "out" / "large.tif").pixels > 0, pixels > 5)
    assert read(tmp_path / "out" / "large.tif").pixel_size["X"] == pytest.approx(0.5)
    assert (tmp_path / "out" / "large_objects.csv").read_text() == "label\n1\n"
    assert (tmp_path / "out" / "small_rois.zip").exists()
    assert not list((tmp_path / "out").glob(".*"))


def test_a_large_image_stops_between_its_parts(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(folder_predict, "LARGE_PIXELS", 100)
    one, network = item(tmp_path / "a.tif", Image(series()[0], "YX"), ""), InParts()
    with pytest.raises(Stopped):
        run(network, [one], tmp_path / "out", FakeContext(stop_after=5))
    assert 0 < network.parts < 20
    assert [each.name for each in (tmp_path / "out").iterdir()] == [".finished"]


def test_planes_may_be_large_too(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(folder_predict, "LARGE_PIXELS", 100)
    network = InParts()
    run(network, [item(tmp_path / "a.tif", Image(series(), "TYX"), "T")], tmp_path / "out")
    assert network.parts == 60
    np.testing.assert_array_equal(read(tmp_path / "out" / "a.tif").pixels > 0, series() > 5)


@pytest.mark.parametrize("where", [np.nan, np.inf])
def test_a_part_that_is_no_number_fails_the_image(
    tmp_path: Path, monkeypatch: Any, where: float
) -> None:
    monkeypatch.setattr(folder_predict, "LARGE_PIXELS", 100)
    pixels = series()[0].astype(np.float32)
    good = item(tmp_path / "good.tif", Image(pixels.copy(), "YX"), "")
    pixels[15, 3] = where
    bad = item(tmp_path / "bad.tif", Image(pixels, "YX"), "")
    failed = run(InParts(), [bad, good], tmp_path / "out")
    assert failed == {"bad": "has pixels that are NaN or infinite"}
    assert sorted(each.name for each in (tmp_path / "out").iterdir()) == [
        "good.tif",
        "good_objects.csv",
    ]
