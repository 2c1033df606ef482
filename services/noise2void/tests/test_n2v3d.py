# SPDX-License-Identifier: BSD-3-Clause
"""A trained 3D model: how good it is, and that the plain library predicts the same."""

from __future__ import annotations

import network as plugin
import numpy as np
import pytest
from jobs import EXAMPLE, Job, image_of
from plain_models import denoised
from scores import psnr

from dl4mic_sdk.images import Image, read
from dl4mic_sdk.task import ModelFolder


@pytest.fixture(scope="module")
def noisy() -> Image:
    return read(image_of("n2v3d"))


def load(job: Job, **parameters: object) -> plugin.N2V3DNetwork:
    network = plugin.N2V3DNetwork("n2v3d", parameters)
    network.load(ModelFolder.open("example:1", job.model, "best", "n2v3d"))
    return network


def test_one_noisy_stack_teaches_to_take_noise_out_of_another(
    trained_3d: Job, noisy: Image
) -> None:
    clean = read(EXAMPLE / "n2v3d" / "test" / "target" / "nuclei.tif").pixels
    found = load(trained_3d).predict_image(noisy).main[1].pixels
    assert psnr(found, clean) >= psnr(noisy.pixels, clean) + 4


def test_plain_library_predicts_the_same(trained_3d: Job, noisy: Image) -> None:
    ours = load(trained_3d).predict_image(noisy).main[1].pixels
    theirs = denoised(trained_3d.model, noisy.pixels, "ZYX")
    assert np.abs(ours - theirs).max() <= 1e-5 * np.ptp(theirs)


def test_tiles_leave_no_seam(trained_3d: Job, noisy: Image) -> None:
    tall = noisy.with_pixels(np.tile(noisy.pixels, (1, 8, 1)))
    whole = load(trained_3d).predict_image(tall).main[1].pixels
    tiled = load(trained_3d, tile=[100, 96]).predict_image(tall).main[1].pixels
    assert np.abs(whole - tiled).max() <= 1e-5 * np.ptp(whole)
