# SPDX-License-Identifier: BSD-3-Clause
"""Nothing in a model's files is run, followed to other files, or believed when it claims too much."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from jobs import Job, image_of, make, make_import, reference
from plain_models import untrained_2d, untrained_3d

from dl4mic_keras.framework import tf
from dl4mic_sdk.errors import ModelError

WEIGHTS = "weights_best.h5"


def lambda_layer(plain: Path) -> None:
    pixels = tf.keras.Input((1,))
    whole = tf.keras.Model(pixels, tf.keras.layers.Lambda(lambda each: each)(pixels))
    whole.save(str(plain / WEIGHTS), save_format="h5")


def pickled(plain: Path) -> None:
    (plain / WEIGHTS).write_bytes(pickle.dumps({"conv": np.zeros(3)}))


def whole_keras(plain: Path) -> None:
    (plain / WEIGHTS).rename(plain / "model.keras")


def torch_pickle(plain: Path) -> None:
    (plain / WEIGHTS).rename(plain / "weights.pth")


def external_link(plain: Path) -> None:
    with h5py.File(plain / WEIGHTS, "a") as file:
        file["secret"] = h5py.ExternalLink("/etc/hostname", "/")


def external_storage(plain: Path) -> None:
    with h5py.File(plain / WEIGHTS, "a") as file:
        file.create_dataset("secret", (8,), "u1", external=[("/etc/hostname", 0, 8)])


def objects(plain: Path) -> None:
    with h5py.File(plain / WEIGHTS, "a") as file:
        file.create_dataset("words", data=["import os"], dtype=h5py.string_dtype())


def bomb(plain: Path) -> None:
    with h5py.File(plain / WEIGHTS, "a") as file:
        file.create_dataset("large", (1 << 20, 1 << 20), "f4", chunks=(1, 1024))


def truncated(plain: Path) -> None:
    content = (plain / WEIGHTS).read_bytes()
    (plain / WEIGHTS).write_bytes(content[: len(content) // 2])


def no_weights(plain: Path) -> None:
    (plain / WEIGHTS).unlink()


def of_another_shape(plain: Path) -> None:
    changed(plain, n_rays=16)


def enormous(plain: Path) -> None:
    changed(plain, unet_n_depth=40)


def enormous_filters(plain: Path) -> None:
    changed(plain, unet_kernel_size=[1000000, 1000000])


def with_classes(plain: Path) -> None:
    changed(plain, n_classes=3)


def no_json(plain: Path) -> None:
    (plain / "config.json").write_text("{")


def no_object(plain: Path) -> None:
    (plain / "config.json").write_text("[]")


def unknown_setting(plain: Path) -> None:
    changed(plain, no_such_setting=1)


def thresholds_that_are_none(plain: Path) -> None:
    (plain / "thresholds.json").write_text('{"prob": "high", "nms": 0.4}')


def changed(plain: Path, **settings: Any) -> None:
    path = plain / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **settings}))


@pytest.mark.parametrize(
    ("harm", "said", "hint"),
    [
        (lambda_layer, f"{WEIGHTS} holds a Lambda layer, which is code", "Save the weights alone"),
        (pickled, "looks like a pickle or archive, which might run code", "Copy the model anew"),
        (whole_keras, "model.keras may hold code", "Save the weights alone"),
        (torch_pickle, "weights.pth may hold code", "Save the weights alone"),
        (external_link, f"{WEIGHTS} points elsewhere (secret)", "Save the weights alone"),
        (external_storage, "keeps /secret in another file", "Save the weights alone"),
        (objects, "holds /words, which is not made of numbers", "Save the weights alone"),
        (bomb, "MiB of numbers, which its", "Save the weights alone"),
        (truncated, f"{WEIGHTS} is no sound HDF5 file", "Copy the model anew"),
        (no_weights, "no weights (*.h5) beside config.json", "Look for weights_best.h5"),
        (of_another_shape, "cannot be read", "copy the whole model anew"),
        (enormous, "unet_n_depth is 40; it is a whole number up to 7", "damaged"),
        (enormous_filters, "unet_kernel_size is [1000000, 1000000]", "damaged"),
        (with_classes, "sorts objects into 3 classes", "objects of one kind"),
        (no_json, "config.json cannot be read", "Copy the model anew"),
        (no_object, "it is no JSON object", "Copy the model anew"),
        (unknown_setting, "config.json is no configuration", "Copy the model anew"),
        (thresholds_that_are_none, "prob and nms are numbers from 0 to 1", "Copy the model anew"),
    ],
)
def test_a_harmful_or_damaged_model_is_refused_by_its_file(
    tmp_path: Path, harm: Callable[[Path], None], said: str, hint: str
) -> None:
    plain = untrained_2d(tmp_path / "plain")
    harm(plain)
    with pytest.raises(ModelError) as caught:
        make_import(tmp_path / "in", "stardist2d", plain).run()
    assert said in caught.value.message
    assert hint in caught.value.hint


def test_a_name_that_the_library_would_run_is_not_run(tmp_path: Path) -> None:
    """The library evaluates the name of a 3D model's rays as Python."""
    plain, made = untrained_3d(tmp_path / "plain"), tmp_path / "made"
    changed(
        plain, rays_json={"name": f"__import__('pathlib').Path({str(made)!r}).touch", "kwargs": {}}
    )
    with pytest.raises(ModelError, match="no set of rays but code that would be run; it is not"):
        make_import(tmp_path / "in", "stardist3d", plain).run()
    assert not made.exists()


def test_rays_without_end_are_refused(tmp_path: Path) -> None:
    plain = untrained_3d(tmp_path / "plain")
    changed(plain, rays_json={"name": "Rays_GoldenSpiral", "kwargs": {"n": 10**9}})
    with pytest.raises(ModelError, match="n is 1000000000, which Rays_GoldenSpiral cannot be"):
        make_import(tmp_path / "in", "stardist3d", plain).run()


@pytest.mark.parametrize("verb", ["predict", "train"])
def test_a_model_folder_that_was_tampered_with_is_not_used(tmp_path: Path, verb: str) -> None:
    """Neither are models that were never imported: a folder by its path, or one changed since."""
    model = make_import(tmp_path / "in", "stardist2d", untrained_2d(tmp_path / "plain")).run()
    external_link(model.model)
    source = image_of("stardist2d").parent
    roles: dict[str, Any] = {"models": [reference(model)]}
    if verb == "train":
        roles = {"target": source.with_name("target"), "parent": reference(model)}
    job: Job = make(tmp_path / "job", verb, "stardist2d", source, **roles)
    with pytest.raises(ModelError, match=r"model example:1: weights_best\.h5 points elsewhere"):
        job.run()
