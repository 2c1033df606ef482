# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import numpy as np
import pytest

from dl4mic_sdk import warm_worker
from dl4mic_sdk.array_on_disk import ArrayOnDisk
from dl4mic_sdk.errors import DataError, Stopped
from dl4mic_sdk.folder_predict import predict_folder
from dl4mic_sdk.images import Image, ImageOnDisk, read, write
from dl4mic_sdk.output_type import Conversion
from dl4mic_sdk.pairs import Item
from dl4mic_sdk.prediction import Prediction


@pytest.mark.parametrize(
    "kind, values, expected, clipped",
    [
        ("uint8", [-0.4, -7, 0.5, 1.5, 255.4, 256, 1e9], [0, 0, 0, 2, 255, 255, 255], 3),
        ("uint16", [-1e9, 65535.2, 65536], [0, 65535, 65535], 2),
        ("int16", [-40000, -3.6, 32768], [-32768, -4, 32767], 2),
        ("int32", [-1e30, 2**31, 2147483647], [-(2**31), 2**31 - 1, 2**31 - 1], 2),
        ("uint32", [2**32, 4294967295, -1], [2**32 - 1, 2**32 - 1, 0], 2),
        ("uint64", [1e30, -1, 5], [2**64 - 2048, 0, 5], 2),
    ],
)
def test_values_are_rounded_and_cut_off_never_wrapped(
    kind: str, values: List[float], expected: List[int], clipped: int
) -> None:
    convert = Conversion(np.dtype(kind))
    found = convert(np.array(values, np.float64))
    assert found.dtype == kind and found.tolist() == expected and convert.clipped == clipped


def test_every_number_of_16_bit_comes_back() -> None:
    every = np.arange(65536, dtype=np.uint16)
    np.testing.assert_array_equal(Conversion(every.dtype)(every.astype(np.float32)), every)


class Context:
    log = logging.getLogger("test")

    def __init__(self, stop_after: Optional[int] = None) -> None:
        self.warnings: List[Tuple[str, str]] = []
        self._left = stop_after

    def progress(self, *_: Any, **__: Any) -> None:
        pass

    def metric(self, *_: Any, **__: Any) -> None:
        pass

    def warning(self, code: str, message: str) -> None:
        self.warnings.append((code, message))

    def raise_if_stopping(self) -> None:
        if self._left == 0:
            raise Stopped
        self._left = None if self._left is None else self._left - 1


class Doubling:
    """Doubles intensities, and adds a map of something else."""

    def __init__(self, output_type: str = "source") -> None:
        self.parameters: Dict[str, Any] = {"output_type": output_type}

    def predict_image(self, image: Image) -> Prediction:
        doubled = image.with_pixels(2 * image.pixels.astype(np.float32) + 0.3)
        return Prediction({"restored": doubled, "uncertainty": doubled})


def folder(place: Path, *images: Image) -> List[Item]:
    place.mkdir()
    made = []
    for each in images:
        write(place / (each.name + ".tif"), each)
        path = place / (each.name + ".tif")
        made.append(Item(each.name, path, None, each.axes, each.pixels.shape))
    return made


def ramp(name: str, kind: Any, first: int = 0) -> Image:
    pixels = np.arange(first, first + 60).reshape(6, 10).astype(kind)
    return Image(pixels, "YX", {"X": 0.25, "Y": 0.25}, name)


def run(network: Any, items: List[Item], output: Path, ctx: Context) -> Dict[str, str]:
    output.mkdir()
    failed: Dict[str, str] = predict_folder(network, items, output, ctx)  # type: ignore[arg-type]
    return failed


def test_a_result_has_the_type_of_its_image_if_asked_for(tmp_path: Path) -> None:
    ctx, images = Context(), [ramp("a", np.uint16), ramp("b", np.uint8, 100), ramp("c", np.float32)]
    items = folder(tmp_path / "in", *images)
    assert run(Doubling(), items, tmp_path / "out", ctx) == {}
    for image, kind in zip(images, (np.uint16, np.uint8, np.float32)):
        found = read(tmp_path / "out" / (image.name + ".tif"))
        assert (found.pixels.dtype, found.axes) == (kind, "YX")
        assert found.pixel_size == pytest.approx(image.pixel_size)
        exact = 2 * image.pixels.astype(np.float32) + np.float32(0.3)
        expected = exact if kind == np.float32 else np.minimum(np.rint(exact), np.iinfo(kind).max)
        np.testing.assert_array_equal(found.pixels, expected)
        assert (
            read(tmp_path / "out" / "uncertainty" / (image.name + ".tif")).pixels.dtype
            == np.float32
        )
    ((code, message),) = ctx.warnings
    assert code == "PIXELS_CLIPPED" and "in 32 pixels of b (32)" in message


def test_by_default_what_was_computed_is_kept(tmp_path: Path) -> None:
    ctx, items = Context(), folder(tmp_path / "in", ramp("b", np.uint8, 100))
    run(Doubling("float32"), items, tmp_path / "out", ctx)
    found = read(tmp_path / "out" / "b.tif").pixels
    assert found.dtype == np.float32 and found.max() == np.float32(318.3) and ctx.warnings == []


def test_labels_keep_their_own_type(tmp_path: Path) -> None:
    class Labels(Doubling):
        def predict_image(self, image: Image) -> Prediction:
            return Prediction({"labels": image.with_pixels(image.pixels.astype(int) + 300)}, True)

    run(Labels(), folder(tmp_path / "in", ramp("b", np.uint8)), tmp_path / "out", Context())
    assert read(tmp_path / "out" / "b.tif").pixels.max() == 359


def test_results_on_disk_and_of_planes_are_converted_too(tmp_path: Path) -> None:
    class OnDisk(Doubling):
        def predict_large(self, image: ImageOnDisk, scratch: Path) -> Prediction:
            kept = ArrayOnDisk(scratch / "result", image.shape, np.float32)
            kept[...] = 2 * image.whole().pixels.astype(np.float32)
            return Prediction({"restored": kept.as_image(image.axes, image.pixel_size, image.name)})

    pixels = np.random.default_rng(0).integers(0, 40000, (2, 1100, 2000)).astype(np.uint16)
    items = folder(tmp_path / "in", Image(pixels, "TYX", {}, "series"))
    ctx = Context()
    run(OnDisk(), [replace(items[0], planes="T")], tmp_path / "out", ctx)
    found = read(tmp_path / "out" / "series.tif")
    assert found.axes == "TYX"
    np.testing.assert_array_equal(found.pixels, np.minimum(2 * pixels.astype(int), 65535))
    clipped = int((pixels > 32767).sum())
    assert "in {} pixels of series".format(clipped) in ctx.warnings[0][1]


class Normalised(Doubling):
    """Leaves results on a scale of its own."""

    def predict_image(self, image: Image) -> Prediction:
        return Prediction({"restored": image.with_pixels(image.pixels / 1000)}, normalised=True)

    def predict_large(self, image: ImageOnDisk, scratch: Path) -> Prediction:
        return self.predict_image(image.whole())


def test_what_a_model_left_normalised_is_never_rounded(tmp_path: Path) -> None:
    ctx, series = Context(), Image(np.arange(48, dtype=np.uint8).reshape(2, 4, 6), "TYX", {}, "c")
    items = folder(tmp_path / "in", ramp("a", np.uint16), ramp("b", np.uint8), series)
    run(Normalised(), [*items[:2], replace(items[2], planes="T")], tmp_path / "out", ctx)
    for name, source in (("a", ramp("a", float)), ("b", ramp("b", float)), ("c", series)):
        found = read(tmp_path / "out" / (name + ".tif")).pixels
        assert found.dtype.kind == "f"
        np.testing.assert_allclose(found, source.pixels / 1000, rtol=1e-6)
    ((code, message),) = ctx.warnings
    assert code == "RESULTS_NORMALISED" and "uint16" in message and "Scale them" in message


def test_a_scale_of_its_own_is_no_matter_where_nothing_is_rounded(tmp_path: Path) -> None:
    ctx, items = Context(), folder(tmp_path / "in", ramp("a", np.uint16), ramp("b", np.float32))
    run(Normalised("float32"), items[:1], tmp_path / "whole", ctx)
    run(Normalised(), items[1:], tmp_path / "real", ctx)
    assert ctx.warnings == []


def test_what_is_no_number_is_no_integer(tmp_path: Path) -> None:
    class Broken(Doubling):
        def predict_image(self, image: Image) -> Prediction:
            return Prediction({"restored": image.with_pixels(np.full((6, 10), np.nan))})

    items = folder(tmp_path / "in", ramp("a", np.uint16))
    with pytest.raises(DataError, match="NaN or infinite, which uint16 cannot hold"):
        run(Broken(), items, tmp_path / "out", Context())


def test_a_stopped_attempt_says_what_it_cut_off(tmp_path: Path) -> None:
    ctx, items = Context(1), folder(tmp_path / "in", ramp("b", np.uint8, 100), ramp("c", np.uint8))
    with pytest.raises(Stopped):
        run(Doubling(), items, tmp_path / "out", ctx)
    assert [code for code, _ in ctx.warnings] == ["PIXELS_CLIPPED"]


def test_a_single_image_that_is_sent_is_answered_in_the_type_asked_for(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Line:
        def __init__(self) -> None:
            self.sent: List[Tuple[Dict[str, Any], bytes]] = []

        def send(self, values: Dict[str, Any], content: bytes = b"") -> None:
            self.sent.append((values, content))

    pixels = np.array([[3, 200]], np.uint8)
    values = {"dtype": "uint8", "shape": [1, 2], "axes": "YX", "pixel_size": {}}
    answers: Dict[str, List[Any]] = {}
    networks = {"source": Doubling("source"), "float32": Doubling("float32"), "own": Normalised()}
    for kind, network in networks.items():
        line: Any = Line()
        warm_worker._answer(line, network, values, pixels.tobytes())  # type: ignore[arg-type]
        about, content = line.sent[0]
        answers[kind] = np.frombuffer(content, about["dtype"]).tolist()
        further = [each["dtype"] for each, _ in line.sent[1:-1]]
        assert further == ([] if kind == "own" else ["float32"])
        assert line.sent[-1] == ({"end": True}, b"")
    assert answers["source"] == [6, 255]
    assert answers["float32"] == pytest.approx([6.3, 400.3])
    assert answers["own"] == pytest.approx([0.003, 0.2])
    assert "RESULTS_NORMALISED" in caplog.text
