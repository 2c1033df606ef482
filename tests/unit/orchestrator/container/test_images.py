# SPDX-License-Identifier: BSD-3-Clause
"""The file of images: what is read, and what is refused in words that name the place."""

from __future__ import annotations

from pathlib import Path

import pytest

from dl4mic_orchestrator.backends.base import UnavailableError
from dl4mic_orchestrator.backends.images import ServiceImages, image_of, read_images


def write(folder: Path, text: str) -> Path:
    path = folder / "images.yaml"
    path.write_text(text)
    return path


def test_each_service_has_an_image_for_either_place(tmp_path: Path) -> None:
    text = "blur: {cpu: 'dl4mic-blur:1'}\nother: {cpu: 'host:5000/o@sha256:ab', gpu: 'o:1-gpu'}\n"
    images = read_images(write(tmp_path, text))
    assert images["blur"] == ServiceImages("dl4mic-blur:1")
    assert image_of(images, "blur", gpu=True) == "dl4mic-blur:1"
    assert image_of(images, "other", gpu=False) == "host:5000/o@sha256:ab"
    assert image_of(images, "other", gpu=True) == "o:1-gpu"


def test_a_service_without_an_image_says_what_to_do() -> None:
    with pytest.raises(UnavailableError, match="no image is named for the service blur") as caught:
        image_of({}, "blur", gpu=False)
    assert caught.value.code == "IMAGE_UNAVAILABLE"
    assert "--images" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "expected a line for each service"),
        ("[a, b]", "expected a line for each service"),
        ("blur: [", "cannot be read"),
        ("blur: dl4mic-blur:1", "blur: expected {cpu: IMAGE, gpu: IMAGE}"),
        ("blur: {gpu: a}", "blur.cpu: expected an image"),
        ("blur: {cpu: a, cuda: b}", "blur.cuda: unknown; expected cpu or gpu"),
        ("blur: {cpu: 3}", "blur.cpu: expected an image such as dl4mic-NAME:0.1.0, not 3"),
        ("blur: {cpu: 'a b'}", "blur.cpu: expected an image"),
        ("blur: {cpu: --privileged}", "cannot begin with a dash"),
    ],
)
def test_what_is_refused(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError) as caught:
        read_images(write(tmp_path, text))
    assert words in str(caught.value) and "images.yaml" in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot be read"):
        read_images(tmp_path / "none.yaml")
