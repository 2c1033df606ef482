# SPDX-License-Identifier: BSD-3-Clause
"""The patches of a training, before and after they are flipped and turned."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from batches import training_batches

from dl4mic_sdk.images import Image, write
from dl4mic_sdk.pairs import Item


@pytest.mark.parametrize(("reach", "turned"), [([0, 4], False), ([4, 0], False), ([2, 2], True)])
def test_stripes_stay_along_the_mask_that_hides_them(
    tmp_path: Path, reach: list[int], turned: bool
) -> None:
    stripes = np.repeat(np.arange(64, dtype=np.float32)[:, np.newaxis], 64, axis=1)
    write(tmp_path / "stripes.tif", Image(stripes, "YX"))
    item = Item("stripes", tmp_path / "stripes.tif", None, "YX", (64, 64))
    parameters = {
        "augmentation": True,
        "n2v_struct_reach": reach,
        "n2v_perc_pix": 1.5,
        "n2v_manipulator": "mean",
        "n2v_neighborhood_radius": 5,
    }
    config = SimpleNamespace(n2v_patch_shape=(16, 16), train_batch_size=8, means=["0"], stds=["1"])
    patches = [patch for _, patch in training_batches(parameters, config, [item], 0).examples(40)]
    assert any((np.diff(each[:, 0]) < 0).all() for each in patches)  # flipped
    assert any(np.ptp(each, axis=1).any() for each in patches) == turned
