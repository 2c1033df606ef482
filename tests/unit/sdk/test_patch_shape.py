# SPDX-License-Identifier: BSD-3-Clause
"""The size of patches: as large as the images allow, a multiple of what the model needs, and refused in words."""

from __future__ import annotations

from typing import Any

import pytest

from dl4mic_sdk.errors import SdkError
from dl4mic_sdk.patch_shape import PatchRule

RULE = PatchRule((4, 8, 8), "unet_n_depth")


@pytest.mark.parametrize(
    ("smallest", "expected"),
    [((32, 300, 300), (16, 64, 64)), ((9, 50, 300), (8, 48, 48)), ((4, 8, 8), (4, 8, 8))],
)
def test_chosen_patches_are_square_and_fit(smallest: Any, expected: Any) -> None:
    assert RULE.shape(None, (16, 64, 64), smallest) == expected


def test_what_was_asked_for_is_taken() -> None:
    assert RULE.shape((4, 16, 32), (16, 64, 64), (32, 300, 300)) == (4, 16, 32)


@pytest.mark.parametrize(
    ("given", "smallest", "said", "hint"),
    [
        ((8, 60, 64), (32, 300, 300), "must be a multiple of 4 x 8 x 8", "Use 8 x 56 x 64"),
        ((8, 64, 64), (32, 300, 48), "larger than the smallest", "Lower patch_size"),
        (None, (3, 300, 300), "smaller than the smallest patch of 4 x 8 x 8", "unet_n_depth"),
    ],
)
def test_what_cannot_be_is_refused(given: Any, smallest: Any, said: str, hint: str) -> None:
    with pytest.raises(SdkError, match=said) as caught:
        RULE.shape(given, (16, 64, 64), smallest)
    assert hint in caught.value.hint
