# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

from pathlib import Path
from typing import Any, List, Set, Tuple

import pytest

from dl4mic_sdk.errors import DataError
from dl4mic_sdk.pairs import Item
from dl4mic_sdk.split import split, split_by_parameters


def items(count: int, axes: str = "YX", shape: Tuple[int, ...] = (256, 320)) -> List[Item]:
    names = ["image{}".format(number) for number in range(count)]
    return [Item(name, Path(name + ".tif"), None, axes, shape) for name in names]


def bounds(item: Item, axis: str) -> Set[int]:
    assert item.region is not None
    return set(range(*item.region[item.axes.index(axis)]))


@pytest.mark.parametrize(
    "count, fraction, kept", [(20, 0.2, 4), (20, 0.1, 2), (3, 0.1, 1), (2, 0.5, 1), (10, 0.99, 9)]
)
def test_the_fraction_is_a_fraction(count: int, fraction: float, kept: int) -> None:
    everything = items(count)
    train, validation, description = split(everything, fraction)
    assert len(validation) == kept and len(train) == count - kept
    assert {each.name for each in train + validation} == {each.name for each in everything}
    assert description["mode"] == "image"
    assert description["validation"] == [each.name for each in validation]


def test_the_seed_decides_and_it_is_not_the_first_or_last() -> None:
    chosen = [
        tuple(each.name for each in split(items(20), 0.2, seed=seed)[1]) for seed in range(20)
    ]
    assert chosen[3] == tuple(each.name for each in split(items(20), 0.2, seed=3)[1])
    assert len(set(chosen)) > 15


@pytest.mark.parametrize("shape, axis", [((256, 320), "X"), ((320, 256), "Y")])
def test_one_image_is_split_across_its_longer_side_with_a_strip(
    shape: Tuple[int, int], axis: str
) -> None:
    for seed in range(6):
        (train,), (validation,), description = split(items(1, "YX", shape), 0.2, seed=seed)
        one, other = bounds(train, axis), bounds(validation, axis)
        assert not one & other and len(other) == 64
        dropped = set(range(320)) - one - other
        assert len(dropped) == 32
        assert min(dropped) - 1 in one | other and max(dropped) + 1 in one | other
        across = "Y" if axis == "X" else "X"
        assert bounds(train, across) == bounds(validation, across) == set(range(256))
        assert description["regions"][0]["validation"][axis] == [min(other), max(other) + 1]
        assert train.shape[train.axes.index(axis)] == len(one)


def test_both_ends_are_chosen() -> None:
    ends = {split(items(1), 0.2, seed=seed)[1][0].region for seed in range(20)}
    assert len(ends) == 2


def test_planes_of_a_stack_are_never_divided() -> None:
    (train,), (validation,), _ = split(
        items(1, "ZYX", (40, 200, 200)), 0.2, patch_size=(16, 64, 64)
    )
    assert bounds(train, "Z") == bounds(validation, "Z") == set(range(40))
    assert len(bounds(validation, "X")) == 64


def test_region_applies_to_every_image() -> None:
    train, validation, _ = split(items(3), 0.2, mode="region", strip=10)
    assert len(train) == len(validation) == 3
    for one, other in zip(train, validation):
        assert len(bounds(one, "X")) == 320 - 64 - 10 and len(bounds(other, "X")) == 64


def test_a_region_of_a_region_stays_inside() -> None:
    (train,), (validation,), _ = split(items(1, "YX", (100, 900)), 0.2)
    (inner,), (innermost,), _ = split([train], 0.2)
    assert bounds(inner, "X") | bounds(innermost, "X") <= bounds(train, "X")
    assert not bounds(innermost, "X") & bounds(validation, "X")


@pytest.mark.parametrize(
    "shape, patch, fits",
    [
        ((256, 256), (112, 112), True),
        ((256, 256), (113, 113), False),
        ((90, 90), None, False),
        ((96, 96), None, True),
    ],
)
def test_regions_too_small_for_a_patch_are_refused(
    shape: Tuple[int, int], patch: Any, fits: bool
) -> None:
    if fits:
        train, validation, _ = split(items(1, "YX", shape), 0.1, patch_size=patch)
        assert min(train[0].shape + validation[0].shape) >= min(patch or (32,))
    else:
        with pytest.raises(
            DataError, match="too small for a training and a validation region"
        ) as caught:
            split(items(1, "YX", shape), 0.1, patch_size=patch)
        assert caught.value.files[0][0] == "image0.tif"


def test_one_image_cannot_be_split_by_image() -> None:
    with pytest.raises(DataError, match="one image cannot be split") as caught:
        split(items(1), 0.1, mode="image")
    assert "split=region" in caught.value.hint


def test_parameters_of_a_request() -> None:
    everything = items(10)
    parameters = {"validation_fraction": 0.3, "split": None, "split_strip": 0, "seed": 4}
    assert split_by_parameters(everything, parameters) == split(everything, 0.3, None, 0, 4)
    train, validation, description = split_by_parameters(everything, {})
    assert (train, validation, description["mode"]) == (everything, [], "none")


def grouped_items(folder: Path, rows: str) -> List[Item]:
    (folder / "groups.csv").write_text(rows, encoding="utf-8")
    names = ["a1", "a2", "b1", "b2", "c1", "c2"]
    return [Item(name, folder / (name + ".tif"), None, "YX", (64, 64)) for name in names]


GROUPS = "name,group\na1,a\na2.tif,a\nb1,b\nb2,b\nc1,c\nc2,c\n"


def test_groups_are_never_divided(tmp_path: Path) -> None:
    items = grouped_items(tmp_path, GROUPS)
    for seed in range(5):
        train, validation, description = split(items, fraction=0.3, seed=seed)
        assert description["mode"] == "group"
        assert len(validation) == 2
        assert not {each.name[0] for each in train} & {each.name[0] for each in validation}


def test_the_groups_that_come_nearest_to_the_fraction_are_kept_apart(tmp_path: Path) -> None:
    items = grouped_items(tmp_path, GROUPS)
    assert len(split(items, fraction=0.6, mode="group")[1]) == 4
    assert len(split(items, fraction=0.99, mode="group")[1]) == 4


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (GROUPS.replace("b2,b\n", ""), "1 of 6 images have no group"),
        ("file;animal\na1;1\n", "cannot be read"),
        (
            "name,group\n"
            + "".join("{},a\n".format(n) for n in ["a1", "a2", "b1", "b2", "c1", "c2"]),
            "one group",
        ),
    ],
)
def test_groups_that_cannot_be_used_are_refused(tmp_path: Path, rows: str, words: str) -> None:
    with pytest.raises(DataError, match=words) as caught:
        split(grouped_items(tmp_path, rows), mode="group")
    assert caught.value.hint


def test_a_missing_file_of_groups_is_refused(tmp_path: Path) -> None:
    items = grouped_items(tmp_path, GROUPS)
    (tmp_path / "groups.csv").unlink()
    with pytest.raises(DataError, match=r"groups\.csv"):
        split(items, mode="group")
