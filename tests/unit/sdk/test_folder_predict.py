# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import errno
import logging
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Tuple

import numpy as np
import pytest

from dl4mic_sdk.errors import DataError, SdkError, Stopped
from dl4mic_sdk.folder_predict import predict_folder
from dl4mic_sdk.images import Image, read, stem, write
from dl4mic_sdk.pairs import Item
from dl4mic_sdk.prediction import Prediction, Table
from dl4mic_sdk.prediction_files import write_prediction


class FakeContext:
    """Remembers what it was told; says stop after a number of images."""

    def __init__(self, stop_after: Optional[int] = None) -> None:
        self.log = logging.getLogger("test")
        self.warnings: List[Tuple[str, str]] = []
        self.progresses: List[Tuple[float, float, int]] = []
        self.metrics: List[Tuple[str, float, float]] = []
        self._left = stop_after

    def progress(
        self, done: float, total: float = 0, unit: str = "", phase: str = "", failed: int = 0
    ) -> None:
        self.progresses.append((done, total, failed))

    def metric(self, name: str, value: float, step: float, unit: str = "") -> None:
        self.metrics.append((name, value, step))

    def warning(self, code: str, message: str) -> None:
        self.warnings.append((code, message))

    def raise_if_stopping(self) -> None:
        if self._left == 0:
            raise Stopped
        if self._left is not None:
            self._left -= 1


class Threshold:
    """A network that needs no training: objects are what is bright."""

    parameters: Dict[str, Any] = {}  # noqa: RUF012

    def __init__(self, before: Callable[[Image], Any] = lambda image: None) -> None:
        self.seen: List[str] = []
        self.threads = set()
        self._before = before

    def predict_image(self, image: Image) -> Prediction:
        self.seen.append(image.name)
        self.threads.add(threading.current_thread())
        self._before(image)
        labels = image.with_pixels((image.pixels > 5).astype(np.int32))
        probability = image.with_pixels(image.pixels / np.float32(10))
        return Prediction(
            {"labels": labels, "probability": probability},
            labels=True,
            tables={"objects": Table(["object", "area_px"], [[1, int(labels.pixels.sum())]])},
            files={"_rois.zip": b"rois"},
        )


def images(folder: Path, count: int) -> List[Item]:
    folder.mkdir()
    made = []
    for number in range(count):
        path = folder / "cell {}.tif".format(number)
        write(path, Image(np.full((8, 9), number, np.uint16), "YX", {"X": 0.5, "Y": 0.5}))
        made.append(Item(stem(path), path, None, "YX", (8, 9)))
    return made


def run(
    network: Any, items: List[Item], output: Path, ctx: Any = None, previous: Optional[Path] = None
) -> Dict[str, str]:
    output.mkdir(exist_ok=True, parents=True)
    return predict_folder(network, items, output, ctx or FakeContext(), previous)


def test_results_have_the_names_axes_and_pixel_size_of_the_images(tmp_path: Path) -> None:
    items, ctx, network = images(tmp_path / "in", 12), FakeContext(), Threshold()
    assert run(network, items, tmp_path / "out", ctx) == {}
    written = sorted(
        str(each.relative_to(tmp_path / "out")) for each in (tmp_path / "out").rglob("*.*")
    )
    endings = ["cell {}.tif", "cell {}_objects.csv", "cell {}_rois.zip", "probability/cell {}.tif"]
    assert written == sorted(ending.format(n) for ending in endings for n in range(12))
    assert network.seen == [each.name for each in items]
    assert network.threads == {threading.current_thread()}
    labels = read(tmp_path / "out" / "cell 7.tif")
    assert labels.pixels.dtype == np.uint16 and labels.pixels.min() == 1
    assert labels.pixel_size == pytest.approx({"X": 0.5, "Y": 0.5})
    assert (tmp_path / "out" / "cell 7_objects.csv").read_text() == "object,area_px\n1,72\n"
    assert read(tmp_path / "out" / "probability" / "cell 7.tif").pixels.dtype == np.float32
    assert ctx.progresses[0] == (0, 12, 0) and ctx.progresses[-1] == (12, 12, 0)
    assert ctx.metrics[0] == ("pixels", 0, 0) and ctx.metrics[-1] == ("pixels", 12 * 72, 12)


def bad_file(items: List[Item]) -> None:
    items[1].source.write_bytes(b"no image")


def nan_pixels(items: List[Item]) -> None:
    write(items[1].source, Image(np.full((8, 9), np.nan, np.float32), "YX"))


def missing_file(items: List[Item]) -> None:
    items[1].source.unlink()


@pytest.mark.parametrize("spoil", [bad_file, nan_pixels, missing_file])
def test_a_bad_file_fails_alone(tmp_path: Path, spoil: Callable[[List[Item]], None]) -> None:
    items, ctx = images(tmp_path / "in", 4), FakeContext()
    spoil(items)
    failed = run(Threshold(), items, tmp_path / "out", ctx)
    assert list(failed) == ["cell 1"]
    assert [code for code, _ in ctx.warnings] == ["IMAGE_FAILED"]
    assert "cell 1.tif" in ctx.warnings[0][1]
    assert ctx.progresses[-1] == (4, 4, 1)
    assert sorted(each.name for each in (tmp_path / "out").glob("*.tif")) == [
        "cell {}.tif".format(each) for each in (0, 2, 3)
    ]


@pytest.mark.parametrize("error", [SdkError("too dark"), ZeroDivisionError("by zero")])
def test_an_image_that_the_network_cannot_do_fails_alone(tmp_path: Path, error: Exception) -> None:
    def fail(image: Image) -> None:
        if image.name == "cell 2":
            raise error

    assert run(Threshold(fail), images(tmp_path / "in", 4), tmp_path / "out") == {
        "cell 2": str(error)
    }


def test_a_name_that_is_too_long_for_results_fails_alone(tmp_path: Path) -> None:
    items = images(tmp_path / "in", 2)
    long = items[1].source.with_name("細" * 80 + ".tif")
    items[1].source.rename(long)
    items[1] = replace(items[1], name=stem(long), source=long)
    failed = run(Threshold(), items, tmp_path / "out")
    assert list(failed) == [stem(long)] and "too long" in failed[stem(long)]


def test_a_result_that_cannot_be_written_as_labels_fails_alone(tmp_path: Path) -> None:
    class Negative(Threshold):
        def predict_image(self, image: Image) -> Prediction:
            labels = image.pixels.astype(np.int32) - 1
            return Prediction({"labels": image.with_pixels(labels)}, labels=True)

    failed = run(Negative(), images(tmp_path / "in", 3), tmp_path / "out")
    assert list(failed) == ["cell 0"] and "integers from 0" in failed["cell 0"]


def test_if_all_fail_the_job_fails(tmp_path: Path) -> None:
    items = images(tmp_path / "in", 3)
    for each in items:
        each.source.write_bytes(b"no image")
    with pytest.raises(DataError, match="none of the 3 images") as caught:
        run(Threshold(), items, tmp_path / "out")
    assert caught.value.file_count == 3


def raising(error: Exception) -> Callable[[Image], None]:
    def fail(image: Image) -> None:
        raise error

    return fail


def test_a_defect_in_every_image_is_not_blamed_on_the_images(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        run(Threshold(raising(ZeroDivisionError())), images(tmp_path / "in", 2), tmp_path / "out")


def test_lack_of_memory_ends_the_run(tmp_path: Path) -> None:
    network = Threshold(raising(MemoryError()))
    with pytest.raises(MemoryError):
        run(network, images(tmp_path / "in", 5), tmp_path / "out")
    assert network.seen == ["cell 0"]


@pytest.mark.parametrize("lack", [errno.ENOSPC, errno.EDQUOT, errno.ESTALE])
def test_what_the_system_lacks_ends_the_run_and_what_is_finished_is_kept(
    tmp_path: Path, lack: int
) -> None:
    def fail(image: Image) -> None:
        if image.name == "cell 2":
            raise OSError(lack, "as asked")

    items, ctx, again = images(tmp_path / "in", 4), FakeContext(), Threshold()
    with pytest.raises(OSError, match="as asked"):
        run(Threshold(fail), items, tmp_path / "1", ctx)
    assert ctx.warnings == [] and ctx.progresses[-1] == (2, 4, 0)
    assert run(again, items, tmp_path / "2", previous=tmp_path / "1") == {}
    assert again.seen == ["cell 2", "cell 3"]


def test_another_error_of_the_system_is_one_image_s(tmp_path: Path) -> None:
    def fail(image: Image) -> None:
        if image.name == "cell 1":
            raise OSError(errno.EFBIG, "as asked")

    assert list(run(Threshold(fail), images(tmp_path / "in", 3), tmp_path / "out")) == ["cell 1"]


def test_what_a_stopped_attempt_finished_is_taken_over(tmp_path: Path) -> None:
    items, first = images(tmp_path / "in", 6), Threshold()
    with pytest.raises(Stopped):
        run(first, items, tmp_path / "1", FakeContext(stop_after=4))
    assert first.seen == ["cell {}".format(number) for number in range(4)]
    write(items[2].source, Image(np.full((9, 9), 9, np.uint16), "YX"))

    second, ctx = Threshold(), FakeContext()
    run(second, items, tmp_path / "2", ctx, previous=tmp_path / "1")

    assert second.seen == ["cell 2", "cell 4", "cell 5"]
    assert ctx.progresses[0] == (3, 6, 0) and ctx.progresses[-1] == (6, 6, 0)
    assert (
        len(list((tmp_path / "2").glob("*.tif"))) == len(list((tmp_path / "2").glob("*.zip"))) == 6
    )
    assert len(list((tmp_path / "2" / "probability").iterdir())) == 6
    assert read(tmp_path / "2" / "cell 2.tif").pixels.shape == (9, 9)
    assert not list((tmp_path / "2").glob(".*"))


def test_an_unfinished_note_and_lost_files_are_done_again(tmp_path: Path) -> None:
    items = images(tmp_path / "in", 3)
    with pytest.raises(Stopped):
        run(Threshold(), items, tmp_path / "1", FakeContext(stop_after=2))
    (tmp_path / "1" / "cell 0_rois.zip").unlink()
    note = tmp_path / "1" / ".finished"
    note.write_text(note.read_text()[:-5])
    again = Threshold()
    run(again, items, tmp_path / "2", previous=tmp_path / "1")
    assert again.seen == [each.name for each in items]


def test_a_torn_line_of_the_note_costs_its_images_only(tmp_path: Path) -> None:
    """As a disk that is full for a moment leaves it: the line after it begins where it was cut off."""
    items = images(tmp_path / "in", 4)
    with pytest.raises(Stopped):
        run(Threshold(), items, tmp_path / "1", FakeContext(stop_after=3))
    note = tmp_path / "1" / ".finished"
    first, second, third, _ = note.read_bytes().split(b"\n")
    note.write_bytes(b"\n".join([first, second[:-9] + third, b""]))
    again = Threshold()
    run(again, items, tmp_path / "2", previous=tmp_path / "1")
    assert again.seen == ["cell 1", "cell 2", "cell 3"]


def test_results_do_not_overwrite_those_of_other_images(tmp_path: Path) -> None:
    items = images(tmp_path / "in", 1)
    write(tmp_path / "in" / "cell 0_b.tif", Image(np.zeros((4, 4), np.uint8), "YX"))
    items.append(Item("cell 0_b", tmp_path / "in" / "cell 0_b.tif", None, "YX", (4, 4)))

    class Tables(Threshold):
        def predict_image(self, image: Image) -> Prediction:
            names = ["b_c"] if image.name == "cell 0" else ["c"]
            return Prediction({"a": image}, tables={each: Table(["x"], []) for each in names})

    failed = run(Tables(), items, tmp_path / "out")
    assert list(failed) == ["cell 0_b"] and "would overwrite" in failed["cell 0_b"]


def test_reading_is_ahead_in_another_thread_and_bounded(tmp_path: Path, monkeypatch: Any) -> None:
    items = images(tmp_path / "in", 20)
    readers, ahead, reads = set(), [], []
    real = Item.read_source

    def watched(item: Item) -> Image:
        readers.add(threading.current_thread())
        reads.append(item.name)
        return real(item)

    monkeypatch.setattr(Item, "read_source", watched)
    network = Threshold(lambda image: ahead.append(len(reads) - len(network.seen)))
    run(network, items, tmp_path / "out")
    assert threading.current_thread() not in readers
    assert len(reads) == 20 and 1 <= max(ahead) <= 2


def test_writing_overlaps_computing_in_another_thread_and_is_bounded(
    tmp_path: Path, monkeypatch: Any
) -> None:
    """While the first result is written two more images are computed, and no third one."""
    seen = [threading.Event() for _ in range(6)]
    network = Threshold(lambda image: seen[int(image.name.split()[1])].set())
    writers, overlapped = set(), []

    def watched(*arguments: Any) -> List[str]:
        if not writers:
            overlapped.extend([seen[2].wait(10), seen[3].wait(0.2)])
        writers.add(threading.current_thread())
        return write_prediction(*arguments)

    monkeypatch.setattr("dl4mic_sdk.folder_predict.write_prediction", watched)
    assert run(network, images(tmp_path / "in", 6), tmp_path / "out") == {}
    assert overlapped == [True, False]
    assert len(writers) == 1 and threading.current_thread() not in writers
