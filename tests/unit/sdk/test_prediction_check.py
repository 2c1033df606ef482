# SPDX-License-Identifier: BSD-3-Clause
"""Finished predictions and their targets: what is refused, and how they are scored without a network."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, Callable, Dict

import numpy as np
import pytest

from dl4mic_sdk import images, verbs
from dl4mic_sdk.context import Context
from dl4mic_sdk.data_check import check_data
from dl4mic_sdk.device import Device
from dl4mic_sdk.errors import DataError
from dl4mic_sdk.events import EventWriter
from dl4mic_sdk.images import Image
from dl4mic_sdk.prediction_check import sources_of

F1 = "instance.f1@0.5/1"
Spoil = Callable[[Path], Any]


def labels(missing: int = 0) -> np.ndarray:
    pixels = np.zeros((30, 60), np.uint16)
    for number in range(4 - missing):
        pixels[4:14, 14 * number + 2 : 14 * number + 12] = number + 1
    return pixels


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write three targets with 4 objects, predictions that lack 0, 1 and 2 of them, and images."""
    for part in ("prediction", "target", "source"):
        (tmp_path / part).mkdir()
    for number, name in enumerate("abc"):
        images.write(tmp_path / "target" / (name + ".tif"), Image(labels(), "YX"))
        images.write(tmp_path / "prediction" / (name + ".tif"), Image(labels(number), "YX"))
        grey = Image((labels() > 0) * np.float32(100), "YX")
        images.write(tmp_path / "source" / (name + ".tif"), grey)
    return tmp_path


def request(folder: Path, source: bool = False, axes: str = "") -> Dict[str, Any]:
    return {
        "verb": "qc",
        "network": "none",
        "models": [],
        "prediction": str(folder / "prediction"),
        "data": {
            "source": str(folder / "source") if source else "",
            "target": str(folder / "target"),
            "axes": axes,
        },
        "parameters": {},
        "previous": None,
        "manifest": {
            "supervision": "label_images",
            "axes": ["ZYX"],
            "task": "instance segmentation",
            "title": "None",
            "outputs": {"qc": {"qc.json": "scores", "report.pdf": "report"}},
        },
    }


def scored(folder: Path, asked: Dict[str, Any]) -> Dict[str, Any]:
    attempt = folder / "job" / "1"
    (attempt / "artifacts").mkdir(parents=True)
    ctx = Context(attempt, EventWriter(attempt), Device("cpu", ""))
    verbs.qc_of_predictions(asked, check_data(asked, attempt), ctx)
    text = (attempt / "artifacts" / "qc.json").read_text(encoding="utf-8")
    found: Dict[str, Any] = json.loads(text)
    return found


@pytest.mark.parametrize("source", [False, True])
def test_predictions_are_scored_without_a_network(folder: Path, source: bool) -> None:
    found = scored(folder, request(folder, source))
    # 4, 3 and 2 of 4 objects: F1 is 2 n / (n + 4).
    by_image = [each["numbers"][F1] for each in found["per_image"]]
    assert by_image == pytest.approx([1.0, 6 / 7, 4 / 6])
    assert found["pooled"][F1] == pytest.approx(2 * 9 / (9 + 12))
    assert found["models"][0]["name"] == "predictions"
    made = folder / "job" / "1" / "artifacts"
    assert sorted(each.name for each in (made / "panels").iterdir()) == ["a.png", "b.png", "c.png"]
    assert (made / "report.pdf").read_bytes().startswith(b"%PDF")


def test_the_network_s_axes_do_not_matter(folder: Path) -> None:
    """A network of stacks lends its task; planes can be scored."""
    assert len(check_data(request(folder)).items) == 3


def test_images_are_found_by_name_whatever_their_suffix(folder: Path) -> None:
    np.save(str(folder / "source" / "b.npy"), labels())
    (folder / "source" / "b.tif").unlink()
    asked = request(folder, True)
    found = sources_of(asked)
    assert sorted(found) == ["a", "b", "c"]
    assert found["b"].read_source().pixels.shape == (30, 60)
    assert len(check_data(asked).items) == 3


def test_colour_images_may_go_with_label_images(folder: Path) -> None:
    for each in (folder / "source").iterdir():
        images.write(each, Image(np.zeros((3, 30, 60), np.uint8), "CYX"))
    found = scored(folder, request(folder, True))
    assert len(found["per_image"]) == 3


def test_what_was_checked_is_not_read_again(folder: Path) -> None:
    attempt = folder / "attempt"
    attempt.mkdir()
    first = check_data(request(folder), attempt)
    assert check_data(request(folder), attempt) == first
    path = folder / "prediction" / "b.tif"
    images.write(path, Image(labels(3), "YX"))
    changed = check_data(request(folder), attempt)
    facts = {each.path: each.objects for each in changed.files}
    assert facts[str(path)] == 1


def replaced(part: str, pixels: Any) -> Spoil:
    return lambda folder: images.write(folder / part / "b.tif", Image(np.array(pixels), "YX"))


@pytest.mark.parametrize(
    ("spoil", "named", "said"),
    [
        (lambda f: (f / "prediction" / "b.tif").unlink(), "b.tif", "no image of the same name"),
        (lambda f: (f / "target" / "b.tif").unlink(), "b.tif", "no target of the same name"),
        (lambda f: (f / "source" / "b.tif").unlink(), "b.tif", "no image of the same name"),
        (lambda f: shutil.rmtree(str(f / "prediction")), "", "does not exist"),
        (
            replaced("prediction", np.zeros((30, 59), np.uint8)),
            "b.tif",
            "but its target is 30 x 60",
        ),
        (replaced("source", np.zeros((3, 6), np.uint8)), "b.tif", "is 3 x 6 (YX), but its target"),
        (replaced("prediction", labels() * 0.5), "b.tif", "they must be integers"),
        (replaced("target", labels().astype(np.float32)), "b.tif", "they must be integers"),
        (replaced("prediction", labels().astype(np.int16) - 1), "b.tif", "has a label -1"),
        (
            lambda f: (f / "prediction" / "b.tif").write_bytes(b"no image"),
            "b.tif",
            "cannot be read",
        ),
    ],
)
def test_what_cannot_be_scored_is_refused(
    folder: Path, spoil: Spoil, named: str, said: str
) -> None:
    spoil(folder)
    with pytest.raises(DataError) as caught:
        check_data(request(folder, True))
    files = [path for path, _ in caught.value.files]
    assert [Path(each).name for each in files] == ([named] if named else [])
    messages = [caught.value.message, *(message for _, message in caught.value.files)]
    assert any(said in each for each in messages), messages


def test_predictions_whose_objects_nobody_numbered_are_refused(folder: Path) -> None:
    for each in (folder / "prediction").iterdir():
        images.write(each, Image((labels() > 0).astype(np.uint8), "YX"))
    with pytest.raises(DataError, match="binary mask") as caught:
        check_data(request(folder))
    assert len(caught.value.files) == 3


def test_a_folder_is_not_compared_with_itself(folder: Path) -> None:
    asked = request(folder)
    asked["data"]["target"] = asked["prediction"]
    with pytest.raises(DataError, match="is given for the images and for their targets"):
        check_data(asked)
