# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

from pathlib import Path
from typing import Iterable, Tuple

import numpy as np
import pytest

from dl4mic_sdk.errors import DataError, ImageError
from dl4mic_sdk.images import Image, write
from dl4mic_sdk.pairs import Item, pair


def folders(root: Path, sources: Iterable[str], targets: Iterable[str]) -> Tuple[Path, Path]:
    for folder, names in (("images", sources), ("masks", targets)):
        (root / folder).mkdir()
        for name in names:
            (root / folder / name).touch()
    return root / "images", root / "masks"


def test_pairs_by_name_whatever_the_suffix_and_the_order(tmp_path: Path) -> None:
    source, target = folders(tmp_path, ["a10.tif", "a2.png"], ["a2.ome.tif", "a10.npy"])
    names = [(one.name, other.name) for one, other in pair(source, target)]
    assert names == [("a2.png", "a2.ome.tif"), ("a10.tif", "a10.npy")]


def test_every_unmatched_name_is_listed_and_the_text_is_bounded(tmp_path: Path) -> None:
    sources = ["only{}.tif".format(number) for number in range(150)]
    source, target = folders(tmp_path, [*sources, "both.tif"], ["both.tif", "extra.tif"])
    with pytest.raises(DataError) as caught:
        pair(source, target)
    error = caught.value
    assert error.file_count == 151 and len(error.files) == 100
    assert "151 of 153 files" in error.message and "and 131 more" in error.message
    assert error.files[0] == (
        str(source / "only0.tif"),
        "has no target of the same name in {}".format(target),
    )


def test_targets_with_an_addition_to_their_name_get_a_hint(tmp_path: Path) -> None:
    source, target = folders(tmp_path, ["a.tif", "b.tif"], ["a_mask.tif", "b_mask.tif"])
    with pytest.raises(DataError) as caught:
        pair(source, target)
    assert "'_mask'" in caught.value.hint


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    source, target = folders(tmp_path, ["a.tif", "a.png"], ["a.tif"])
    with pytest.raises(DataError, match="same name but for the suffix") as caught:
        pair(source, target)
    assert caught.value.file_count == 2


def test_two_single_files_are_a_pair(tmp_path: Path) -> None:
    source, target = folders(tmp_path, ["a.tif"], ["b.tif"])
    assert pair(source / "a.tif", target / "b.tif") == [(source / "a.tif", target / "b.tif")]


def test_an_item_reads_its_region_and_channel_of_image_and_target(tmp_path: Path) -> None:
    pixels = np.arange(2 * 6 * 8, dtype=np.uint16).reshape(2, 6, 8)
    write(tmp_path / "a.tif", Image(pixels, "CYX"))
    write(tmp_path / "b.tif", Image(pixels[1], "YX"), label=True)
    item = Item(
        "a", tmp_path / "a.tif", tmp_path / "b.tif", "YX", (3, 4), ((1, 4), (2, 6)), channel=1
    )
    np.testing.assert_array_equal(item.read_source().pixels, pixels[1, 1:4, 2:6])
    np.testing.assert_array_equal(item.read_target().pixels, pixels[1, 1:4, 2:6])


def test_an_item_at_fault_or_without_target_says_so(tmp_path: Path) -> None:
    item = Item("a", tmp_path / "a.tif", None, "", (), fault="is broken")
    with pytest.raises(ImageError, match="is broken"):
        item.read_source()
    with pytest.raises(ValueError, match="has no target"):
        item.read_target()


def test_names_that_differ_in_case_only_get_a_hint(tmp_path: Path) -> None:
    source, target = folders(tmp_path, ["Cell1.tif", "Cell2.tif"], ["cell1.tif", "cell2.tif"])
    with pytest.raises(DataError) as caught:
        pair(source, target)
    assert "upper and lower case only" in caught.value.hint


def test_one_folder_is_not_both(tmp_path: Path) -> None:
    source, target = folders(tmp_path, ["a.tif"], ["a.tif"])
    with pytest.raises(DataError, match="for the images and for their targets"):
        pair(source, target.parent / "images")
