# SPDX-License-Identifier: BSD-3-Clause
"""CARE 3D from end to end, on stacks with fewer slices than rows, some thinner than the network halves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from formats import PERCENTILES
from jobs import EXAMPLE, Job, image_of, make, make_training, reference
from notebook_folder import difference
from plain_models import opened, pixels_of, restored_of
from restoration import Restorer

from dl4mic_sdk.errors import DataError, SdkError
from dl4mic_sdk.images import Image

TINY = {
    "epochs": 1,
    "steps_per_epoch": 2,
    "batch_size": 2,
    "patch_size": [8, 16, 16],
    "unet_n_first": 4,
    "validation_fraction": 0.5,
    "probabilistic": True,
}


def test_a_restored_stack_is_closer_to_the_truth_than_its_source(
    trained_3d: Job, tmp_path: Path
) -> None:
    """The source is at 0.895, as is a network that does nothing; this one, trained for 10 s, at about 0.93."""
    name, source = image_of("care3d").name, pixels_of("care3d")
    job = make(
        tmp_path, "predict", "care3d", image_of("care3d").parent, models=[reference(trained_3d)]
    ).run()
    restored = tifffile.imread(job.predictions / name)
    target = tifffile.imread(EXAMPLE / "care3d" / "test" / "target" / name)
    before, after = (np.corrcoef(each.ravel(), target.ravel())[0, 1] for each in (source, restored))
    assert before < 0.9
    assert after > 0.915


@pytest.mark.parametrize("slices", [16, 7, 1])
def test_the_library_restores_the_same_whatever_the_slices(trained_3d: Job, slices: int) -> None:
    pixels = pixels_of("care3d")[:slices, :44, :50]
    found = Restorer(opened(trained_3d.model), {}, PERCENTILES).restore(Image(pixels, "ZYX"))
    for ours, theirs in zip(found, restored_of(trained_3d.model, pixels, "ZYX")):
        assert isinstance(ours, Image)
        assert difference(ours.pixels, theirs) < 1e-5


def test_tiles_give_the_whole_stack(trained_3d: Job) -> None:
    model, image = opened(trained_3d.model), Image(pixels_of("care3d"), "ZYX")
    whole = Restorer(model, {}, PERCENTILES).restore(image)
    tiled = Restorer(model, {"tile": [16, 56, 60]}, PERCENTILES).restore(image)
    for ours, theirs in zip(tiled, whole):
        assert isinstance(ours, Image) and isinstance(theirs, Image)
        assert difference(ours.pixels, theirs.pixels) < 1e-5


def test_stacks_of_several_channels_are_restored_with_how_sure_each_voxel_is(
    tmp_path: Path,
) -> None:
    source, target = two_channels(tmp_path / "data")
    job = make(tmp_path / "t", "train", "care3d", source, target=target, given=TINY).run()
    found = make(tmp_path / "p", "predict", "care3d", source, models=[reference(job)]).run()
    theirs = restored_of(job.model, tifffile.imread(source / "pollen_a.tif"), "ZCYX")
    for folder, expected in zip((found.predictions, found.predictions / "uncertainty"), theirs):
        ours = tifffile.imread(folder / "pollen_a.tif")
        assert ours.shape == (8, 2, 32, 32)
        assert difference(ours, expected) < 1e-5


def two_channels(folder: Path) -> tuple[Path, Path]:
    """Write two pairs of stacks whose second channel is brighter and turned over."""
    for kind in ("source", "target"):
        (folder / kind).mkdir(parents=True)
        for path in sorted((EXAMPLE / "care3d" / "train" / kind).glob("pollen_[ab].tif")):
            stack = tifffile.imread(path)[:8, :32, :32]
            both = np.stack([stack, 2 * stack[:, ::-1]], axis=1)
            tifffile.imwrite(
                folder / kind / path.name, both, imagej=True, metadata={"axes": "ZCYX"}
            )
    return folder / "source", folder / "target"


def test_images_are_refused_by_the_network_for_stacks(tmp_path: Path) -> None:
    data = EXAMPLE / "care2d" / "train"
    job = make(tmp_path, "train", "care3d", data / "source", target=data / "target")
    with pytest.raises(DataError) as caught:
        job.run()
    assert "network for single planes" in str(caught.value.hint)


def test_too_few_slices_to_learn_from_are_refused_in_words(tmp_path: Path) -> None:
    given = {"unet_n_depth": 5, "epochs": 1, "steps_per_epoch": 1}
    with pytest.raises(SdkError, match="smaller than the smallest patch of 32 x 32 x 32") as caught:
        make_training(tmp_path, "care3d", given=given).run()
    assert "unet_n_depth" in caught.value.hint
