# SPDX-License-Identifier: BSD-3-Clause
"""The sparse table of shared pixels, and what is refused as a label image."""

from __future__ import annotations

import numpy as np
import pytest

from dl4mic_sdk.errors import DataError
from dl4mic_sdk.qc import overlap as module
from dl4mic_sdk.qc.overlap import Overlap, overlap

TRUE = np.array([[1, 1, 0, 0], [1, 1, 7, 7]])
PRED = np.array([[9, 9, 9, 0], [0, 0, 9, 4]])


def as_dict(table: Overlap) -> dict:
    return {
        (int(table.true_labels[t]), int(table.pred_labels[p])): int(n)
        for t, p, n in zip(table.true_index, table.pred_index, table.shared)
    }


def test_counts_by_hand() -> None:
    table = overlap(TRUE, PRED)
    assert table.true_labels.tolist() == [1, 7]
    assert table.pred_labels.tolist() == [4, 9]
    assert table.true_sizes.tolist() == [4, 2]
    assert table.pred_sizes.tolist() == [1, 4]
    assert as_dict(table) == {(1, 9): 2, (7, 4): 1, (7, 9): 1}


def test_iou_and_foreground_by_hand() -> None:
    table = overlap(TRUE, PRED)
    assert sorted(table.iou.tolist()) == [1 / 5, 1 / 3, 1 / 2]
    assert table.foreground == (4, 7)


def test_small_chunks_give_the_same_table(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.RandomState(0)
    true, pred = random.randint(0, 9, (2, 5, 17, 13))
    whole = overlap(true, pred)
    monkeypatch.setattr(module, "_CHUNK", 7)
    parts = overlap(true, pred)
    assert as_dict(parts) == as_dict(whole)
    assert parts.true_sizes.tolist() == whole.true_sizes.tolist()


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint32", "int64", "uint64"])
def test_every_integer_type_is_the_same(dtype: str) -> None:
    assert as_dict(overlap(TRUE.astype(dtype), PRED)) == as_dict(overlap(TRUE, PRED))


def test_the_largest_label_is_kept() -> None:
    table = overlap(np.array([[2**32 - 1, 0]]), np.array([[2**32 - 1, 1]]))
    assert as_dict(table) == {(2**32 - 1, 2**32 - 1): 1}


def test_a_view_that_is_not_contiguous() -> None:
    assert as_dict(overlap(TRUE.T, PRED.T)) == as_dict(overlap(TRUE, PRED))


def test_thousands_of_objects_need_no_dense_table() -> None:
    # 40 000 x 40 000 objects would be 12.8 GB as a dense table.
    true = np.arange(40_000, dtype=np.uint32).reshape(40, 100, 10) + 1
    table = overlap(true, true[::-1])
    assert table.shared.size == 40_000


@pytest.mark.parametrize(
    ("true", "pred", "message"),
    [
        (np.zeros((2, 2)), PRED[:, :2], "the target holds float64 values"),
        (TRUE, np.full(TRUE.shape, np.nan), "the prediction holds float64 values"),
        (TRUE, PRED - 1, "the prediction holds the negative label -1"),
        (TRUE * 2**32, PRED, "the target holds the label 30064771072, above 4294967295"),
        (np.zeros((0, 4), int), PRED, "the target of shape (0, 4) holds no pixels"),
        (TRUE, PRED.T, "the prediction has shape (4, 2), the target (2, 4)"),
    ],
)
def test_refused(true: np.ndarray, pred: np.ndarray, message: str) -> None:
    with pytest.raises(DataError) as refusal:
        overlap(true, pred)
    assert message in str(refusal.value)
    assert refusal.value.hint


def test_a_target_of_one_object_may_be_true_and_false() -> None:
    table = overlap(TRUE > 0, PRED)
    assert table.true_labels.tolist() == [1]
    assert as_dict(table) == {(1, 9): 3, (1, 4): 1}
