# SPDX-License-Identifier: BSD-3-Clause
"""The bundle for Fiji gives in the TensorFlow that Fiji brings what the model gives here."""

from __future__ import annotations

from pathlib import Path

import bundle
import numpy as np
import pytest
from jobs import make_export, make_import, reference
from plain_models import opened, untrained_2d

from dl4mic_sdk.errors import ModelError


@pytest.mark.parametrize("grid", [(1, 1), (2, 4)])
def test_fijis_tensorflow_gives_the_same(tmp_path: Path, grid: tuple[int, int]) -> None:
    model = make_import(
        tmp_path / "in", "stardist2d", untrained_2d(tmp_path / "m", grid=grid)
    ).run()
    job = make_export(tmp_path / "out", "stardist2d", reference(model), "fiji").run()
    assert job.exported.name == "example-1-fiji.zip"
    bundle.unpacked(job.exported, tmp_path / "bundle")
    pixels = np.random.default_rng(0).normal(size=(1, 32, 48, 1)).astype(np.float32)
    theirs = bundle.answer(tmp_path / "bundle", pixels)
    probability, distances = opened(model.model).keras_model.predict(pixels)
    assert theirs.shape == (1, 32, 48, 9)
    at_grid = theirs[:, :: grid[0], :: grid[1]]
    np.testing.assert_allclose(at_grid[..., :1], probability, atol=1e-5)
    np.testing.assert_allclose(at_grid[..., 1:], distances, rtol=1e-4, atol=1e-4)
    assert np.count_nonzero(theirs[..., 0]) == np.count_nonzero(probability)
    assert (theirs[:, grid[0] - 1 :: grid[0], grid[1] - 1 :: grid[1], 1:] == at_grid[..., 1:]).all()


def test_a_model_that_was_tampered_with_is_not_exported(tmp_path: Path) -> None:
    model = make_import(tmp_path / "in", "stardist2d", untrained_2d(tmp_path / "m")).run()
    (model.model / "weights_best.h5").write_bytes(b"\x80\x04")
    with pytest.raises(ModelError, match=r"example:1: weights_best\.h5 is no sound HDF5 file"):
        make_export(tmp_path / "out", "stardist2d", reference(model), "fiji").run()
