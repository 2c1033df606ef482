# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

import numpy as np
import pytest
from data_folders import Folders, labelled

from dl4mic_sdk.data_check import DataSummary
from dl4mic_sdk.images import Image, write
from dl4mic_sdk.pairs import Item


def test_a_good_set_is_summarised(folders: Folders) -> None:
    summary = folders.check()
    assert [each.name for each in summary.items] == ["0", "1", "2", "3"]
    item = summary.items[1]
    assert (item.axes, item.shape, item.target) == (
        "YX",
        (64, 80),
        folders.root / "masks" / "1.tif",
    )
    assert summary.object_count == 8 and summary.object_extent == {"Y": 15, "X": 20}
    assert summary.pixel_size == pytest.approx({"X": 0.5, "Y": 0.5})
    assert summary.smallest_shape == {"Y": 64, "X": 80}
    assert 95 <= summary.intensity["50"] <= 105 and summary.intensity["99.9"] <= 199
    facts = summary.files[1]
    assert (facts.role, facts.objects, facts.dtype) == ("target", 2, "uint16")
    assert facts.foreground == pytest.approx(600 / (64 * 80))
    assert len(summary.fingerprints) == 4 and summary.warnings == ()


def test_the_fingerprint_is_of_the_pixels_not_of_the_file(folders: Folders) -> None:
    before = set(folders.check().fingerprints)
    pixels = folders.check().items[0].read_source()
    path = folders.root / "images" / "0.tif"
    write(path, pixels, compress=True)
    assert set(folders.check().fingerprints) == before
    changed = np.array(pixels.pixels)
    changed[0, 0] += 1
    write(path, pixels.with_pixels(changed))
    assert len(set(folders.check().fingerprints) & before) == 3


def break_pair_shape(folders: Folders) -> Path:
    return folders.mask(2, labelled((64, 90)))


def break_image(folders: Folders) -> Path:
    path = folders.root / "images" / "2.tif"
    path.write_bytes(b"no image")
    return path


def break_pixels(folders: Folders) -> Path:
    path = folders.root / "images" / "2.tif"
    noise = np.random.default_rng(0).integers(0, 255, (64, 80)).astype(np.uint8)
    write(path, Image(noise, "YX"), compress=True)
    content = bytearray(path.read_bytes())
    middle = content.find(b"\x78\x01") + content.find(b"\x78\x9c") + content.find(b"\x78\xda") + 2
    content[middle + 100 : middle + 200] = bytes(100)
    path.write_bytes(content)
    return path


def float_labels(folders: Folders) -> Path:
    return folders.mask(2, labelled().astype(np.float32))


def negative_labels(folders: Folders) -> Path:
    return folders.mask(2, -labelled().astype(np.int16))


def huge_labels(folders: Folders) -> Path:
    numbers = labelled().astype(np.uint64)
    return folders.mask(2, np.where(numbers > 0, numbers + np.uint64(2**33), numbers))


def coloured_labels(folders: Folders) -> Path:
    return folders.mask(2, np.stack([labelled().astype(np.uint8)] * 3))


def nan_pixels(folders: Folders) -> Path:
    pixels = np.zeros((64, 80), np.float32)
    pixels[3, 4] = np.nan
    return folders.image(2, pixels)


def too_many_axes(folders: Folders) -> Path:
    folders.mask(2, labelled((6, 64, 80)), "ZYX")
    return folders.image(2, np.ones((6, 64, 80), np.uint8), "ZYX")


def too_few_axes(folders: Folders) -> Path:
    folders.request["manifest"]["axes"] = ["ZYX"]
    for number in (0, 1, 3):
        folders.image(number, np.ones((6, 64, 80), np.uint8), "ZYX")
        folders.mask(number, labelled((6, 64, 80)), "ZYX")
    return folders.root / "images" / "2.tif"


def channels(folders: Folders) -> Path:
    return folders.image(2, np.ones((3, 64, 80), np.uint8), "CYX")


def no_such_channel(folders: Folders) -> Path:
    folders.request["parameters"]["channel"] = 3
    return folders.image(2, np.ones((3, 64, 80), np.uint8), "CYX")


def smaller_than_a_patch(folders: Folders) -> Path:
    folders.request["parameters"]["patch_size"] = [64, 64]
    folders.mask(2, labelled((50, 80)))
    return folders.image(2, np.ones((50, 80), np.uint8))


Break = Callable[[Folders], Path]
FAULTS: List[Any] = [
    (break_pair_shape, "is 64 x 90 (YX), but its image is 64 x 80 (YX)", "crop or resize"),
    (break_image, "cannot be read", "damaged"),
    (break_pixels, "cannot be read", "damaged"),
    (float_labels, "its labels are float32 numbers", "16-bit"),
    (negative_labels, "has a label -5", "0 for background"),
    (huge_labels, "has a label 8589934597; labels go up to 4294967295", "from 1 on"),
    (coloured_labels, "is a colour image", "coloured picture"),
    (nan_pixels, "has 1 pixels that are NaN", "Remove NaNs"),
    (too_many_axes, "is 6 x 64 x 80 (ZYX), but this network takes YX", "axes=CYX"),
    (too_few_axes, "is 64 x 80 (YX), but this network takes ZYX", "stacks"),
    (channels, "is an RGB image, but this network takes one channel", "channel=0 to channel=2"),
    (no_such_channel, "has 3 channels, so there is no channel 3", "another channel"),
    (smaller_than_a_patch, "is smaller (50 x 80 (YX)) than a patch of 64 x 64", "Lower patch_size"),
]


@pytest.mark.parametrize(
    "break_it, message, hint", FAULTS, ids=[each[0].__name__ for each in FAULTS]
)
def test_the_file_at_fault_is_named(
    folders: Folders, break_it: Break, message: str, hint: str
) -> None:
    path = break_it(folders)
    fault = folders.fault()
    assert [each for each, _ in fault.files] == [str(path)] and fault.file_count == 1
    assert message in fault.files[0][1] and path.name in fault.message and message in fault.message
    assert hint in fault.hint


def test_all_files_at_fault_are_counted_and_a_hundred_kept(tmp_path: Path) -> None:
    folders = Folders(tmp_path, 120)
    for number in range(1, 120):
        (folders.root / "images" / "{}.tif".format(number)).write_bytes(b"no image")
    float_labels(folders)
    fault = folders.fault()
    assert fault.file_count == 120 and len(fault.files) == 100
    assert "120 of 240 files" in fault.message and "and 117 more" in fault.message


@pytest.mark.parametrize("value", [1, 255])
def test_binary_masks_where_labels_are_needed(folders: Folders, value: int) -> None:
    for number in range(4):
        mask = np.zeros((64, 80), np.uint8)
        for corner in (0, 20, 40):
            mask[corner : corner + 9, corner : corner + 9] = value
        folders.mask(number, mask)
    fault = folders.fault()
    assert fault.file_count == 4 and "binary mask: its 3 separate parts" in fault.files[0][1]
    assert "Connected Components" in fault.hint


def test_one_object_an_image_is_no_binary_mask(folders: Folders) -> None:
    for number in range(4):
        folders.mask(number, (labelled() == 5).astype(np.uint8))
    assert folders.check().object_count == 4


def test_binary_masks_where_they_belong(folders: Folders) -> None:
    folders.request["manifest"]["supervision"] = "binary_masks"
    for number in range(4):
        folders.mask(number, (labelled() > 0).astype(np.uint8) * 255)
    assert folders.check().object_count == 0


def test_one_empty_mask_is_odd_and_only_empty_ones_are_refused(folders: Folders) -> None:
    folders.mask(0, np.zeros((64, 80), np.uint16))
    summary = folders.check()
    assert [code for code, _ in summary.warnings] == [
        "EMPTY_MASKS"
    ] and "0.tif" in summary.warnings[0][1]
    for number in range(4):
        folders.mask(number, np.zeros((64, 80), np.uint16))
    fault = folders.fault()
    assert "all 4 masks are empty" in fault.message and fault.file_count == 4


def test_oddities_are_warned_of(folders: Folders) -> None:
    folders.image(0, np.full((64, 80), 7, np.uint16))
    folders.image(1, np.random.default_rng(3).integers(1, 200, (64, 80)).astype(np.uint8))
    said = dict(folders.check().warnings)
    assert list(said) == ["CONSTANT_IMAGES", "DUPLICATE_IMAGES", "MIXED_TYPES"]
    assert said["MIXED_TYPES"] == (
        "Images of another type than uint8, which most have: save all of them alike (1): 0.tif is uint16."
    )


def test_a_set_of_stacks_and_planes_is_refused(folders: Folders) -> None:
    folders.request["manifest"]["axes"] = ["YX", "ZYX"]
    folders.mask(2, labelled((6, 64, 80)), "ZYX")
    path = folders.image(2, np.ones((6, 64, 80), np.uint8), "ZYX")
    fault = folders.fault()
    assert fault.files == [(str(path), "has the axes ZYX, most images have YX")]


@pytest.mark.parametrize("axes", ["", "CYX"])
def test_a_channel_is_chosen(folders: Folders, axes: str) -> None:
    folders.request["parameters"]["channel"] = 1
    folders.request["data"]["axes"] = axes
    pixels = np.random.default_rng(0).integers(0, 99, (3, 64, 80)).astype(np.uint8)
    for number in range(4):
        folders.image(number, pixels + number, "CYX" if axes == "" else "ZYX")
    item = folders.check().items[2]
    assert (item.axes, item.shape) == ("YX", (64, 80))
    np.testing.assert_array_equal(item.read_source().pixels, pixels[1] + 2)
    assert item.read_target().axes == "YX"


@pytest.mark.parametrize(("has", "takes"), [(1, 2), (3, 1), (3, 2)])
def test_images_of_other_channels_than_the_model_takes_are_refused(
    folders: Folders, has: int, takes: int
) -> None:
    folders.request["manifest"]["axes"] = ["YX", "CYX"]
    folders.request["parent"] = a_model(folders.root / "m", channels=takes)
    for number in range(4):
        pixels = np.random.default_rng(number).integers(0, 99, (has, 64, 80)).astype(np.uint8)
        folders.image(number, pixels[0] if has == 1 else pixels, "YX" if has == 1 else "CYX")
    fault = folders.fault()
    counted = "1 channel" if has == 1 else f"{has} channels"
    assert fault.files[0][1] == f"has {counted}, but model m:1 takes {takes}"
    assert ("channel=0 to channel=2" in fault.hint) == (takes == 1)
    folders.request["parent"] = a_model(folders.root / "m", channels=has)
    folders.check()


def test_the_channel_that_is_chosen_is_the_one_that_the_model_takes(folders: Folders) -> None:
    folders.request["parent"] = a_model(folders.root / "m", channels=1)
    folders.request["parameters"]["channel"] = 2
    for number in range(4):
        folders.image(number, np.full((3, 64, 80), number, np.uint8), "CYX")
    folders.check()


def a_model(folder: Path, **record: Any) -> Dict[str, str]:
    folder.mkdir(exist_ok=True)
    (folder / "model.json").write_text(json.dumps({"network": "blur", **record}))
    return {"name": "m:1", "folder": str(folder), "weights": "best"}


def test_missing_folders_and_names(folders: Folders) -> None:
    folders.request["data"]["target"] = ""
    assert "needs targets (label images)" in folders.fault().message
    folders.request["data"]["target"] = str(folders.root / "nowhere")
    assert "nowhere does not exist" in folders.fault().message
    folders.request["data"]["target"] = str(folders.root / "1")
    assert "holds no image" in folders.fault().message
    folders.request["data"]["target"] = str(folders.root / "masks")
    (folders.root / "masks" / "3.tif").rename(folders.root / "masks" / "4.tif")
    assert folders.fault().file_count == 2


def test_a_single_image_must_be_large_enough_for_two_regions(tmp_path: Path) -> None:
    folders = Folders(tmp_path, 1)
    assert "too small for a training and a validation region" in folders.fault().message
    folders.image(0, np.ones((64, 200), np.uint8))
    folders.mask(0, labelled((64, 200)))
    assert len(folders.check().items) == 1
    folders.request["parameters"]["split"] = "image"
    assert "one image cannot be split" in folders.fault().message


def test_a_validation_folder_is_checked_too(folders: Folders) -> None:
    for folder in ("more", "more masks"):
        (folders.root / folder).mkdir()
    folders.image("v", np.ones((64, 80), np.uint8), folder="more")
    bad = folders.image("v", np.ones((64, 80), np.float32), folder="more masks")
    more = {
        "source": str(folders.root / "more"),
        "target": str(folders.root / "more masks"),
        "axes": "",
    }
    folders.request["validation"] = more
    assert folders.fault().files[0][0] == str(bad)
    folders.image("v", labelled(), folder="more masks")
    summary = folders.check()
    assert [each.name for each in summary.validation] == ["v"] and len(summary.items) == 4


@pytest.mark.parametrize("supervision", ["images", "noisy_images"])
def test_no_target_is_needed_where_there_is_none(folders: Folders, supervision: str) -> None:
    folders.request["manifest"]["supervision"] = supervision
    folders.request["data"]["target"] = ""
    assert all(each.target is None for each in folders.check().items)


def test_paired_images_may_have_decimals_but_no_nan(folders: Folders) -> None:
    folders.request["manifest"]["supervision"] = "paired_images"
    folders.mask(1, np.full((64, 80), 0.5, np.float32))
    assert folders.check().object_count == 0
    path = folders.mask(1, np.full((64, 80), np.inf, np.float32))
    assert folders.fault().files[0][0] == str(path)


def test_unpaired_images_need_no_common_names(folders: Folders) -> None:
    folders.request["manifest"]["supervision"] = "unpaired_images"
    (folders.root / "masks" / "3.tif").unlink()
    summary = folders.check()
    assert len(summary.items) == 4 and len(summary.targets) == 3


def test_for_a_prediction_bad_files_do_not_keep_the_others(folders: Folders) -> None:
    folders.request["verb"] = "predict"
    folders.request["data"]["target"] = ""
    broken, stack = break_image(folders), folders.image(1, np.ones((6, 64, 80), np.uint8), "CYX")
    summary = folders.check()
    assert [bool(each.fault) for each in summary.items] == [False, True, True, False]
    assert "takes one channel" in summary.items[1].fault
    for number in (0, 3):
        (folders.root / "images" / "{}.tif".format(number)).unlink()
    assert {path for path, _ in folders.fault().files} == {str(broken), str(stack)}


def test_three_dimensions(folders: Folders) -> None:
    folders.request["manifest"]["axes"] = ["ZYX"]
    for number in range(4):
        folders.image(
            number, np.random.default_rng(number).random((6, 64, 80)).astype(np.float32), "ZYX"
        )
        labels = labelled((6, 64, 80), number)
        labels[:2], labels[5] = 0, 0
        folders.mask(number, labels, "ZYX")
    summary = folders.check()
    assert summary.object_extent == {"Z": 3, "Y": 15, "X": 20}
    assert summary.items[0].axes == "ZYX"


def test_items_keep_regions_in_the_record() -> None:
    item = Item("a", Path("a.tif"), None, "YX", (3, 4), ((1, 4), (2, 6)), 1)
    summary = DataSummary("images", (item,))
    again: Optional[DataSummary] = DataSummary.from_record(
        json.loads(json.dumps(summary.as_record()))
    )
    assert again == summary
