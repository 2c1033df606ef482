# SPDX-License-Identifier: BSD-3-Clause
"""Folders that cannot be used whatever the images in them are: names, rights, what is no file, too little memory."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List

import numpy as np
import pytest

from dl4mic_sdk import dataset_reader
from dl4mic_sdk.data_check import EXIT_FAULT, FAULT_FILE, check_data
from dl4mic_sdk.errors import DataError, ImageError
from dl4mic_sdk.images import Image, list_images, write
from dl4mic_sdk.pairs import refuse_unfit_names

PIXELS = np.arange(48 * 48, dtype=np.uint16).reshape(48, 48)


def request_for(folder: Path) -> Dict[str, Any]:
    """Train without a target on four images in a folder, and make them."""
    (folder / "images").mkdir()
    for number in range(4):
        image = Image(PIXELS + np.uint16(number), "YX")
        write(folder / "images" / "cell{}.tif".format(number), image)
    return {
        "verb": "train",
        "network": "blur",
        "parameters": {"validation_fraction": 0.25},
        "data": {"source": str(folder / "images"), "target": "", "axes": ""},
        "validation": None,
        "previous": None,
        "manifest": {"supervision": "noisy_images", "axes": ["YX"]},
    }


def touched(folder: Path, *names: str) -> List[Path]:
    for name in names:
        (folder / name).touch()
    return [folder / name for name in names]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a.tif", "a.png"], "has the same name as a.png"),
        (["a.tif", "A.tif"], "has the name of A.tif but for upper and lower case"),
        (["Ä.tif", "ä.png"], "has the name of ä.png but for upper and lower case"),
    ],
)
def test_results_that_would_overwrite_each_other(
    tmp_path: Path, names: List[str], message: str
) -> None:
    with pytest.raises(DataError, match="same name but for the suffix or upper") as caught:
        refuse_unfit_names(touched(tmp_path, *names))
    assert dict(caught.value.files)[str(tmp_path / names[0])] == message
    assert caught.value.file_count == 2


def test_the_same_name_in_two_folders_is_fit(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    refuse_unfit_names(touched(tmp_path, "a.tif"), touched(tmp_path / "other", "A.tif"))


@pytest.mark.parametrize(
    "name", ["a\nb.tif", "a\tb.tif", "\x1b[2J.tif", "a\x7f.tif", "a\u2028.tif"]
)
def test_a_name_with_control_characters_is_told_without_them(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="control characters") as caught:
        refuse_unfit_names(touched(tmp_path, name))
    assert all(each.isprintable() for each in caught.value.message + caught.value.files[0][0])


def test_what_is_no_file_is_passed_over_and_told_when_nothing_is_left(tmp_path: Path) -> None:
    os.mkfifo(str(tmp_path / "pipe.tif"))
    (tmp_path / "gone.tif").symlink_to(tmp_path / "nowhere.tif")
    (tmp_path / "folder.tif").mkdir()
    with pytest.raises(DataError) as caught:
        list_images(tmp_path)
    assert (
        caught.value.hint
        == "gone.tif is no file but a link that leads nowhere, a pipe or a device."
    )
    touched(tmp_path, "cell.tif")
    assert [each.name for each in list_images(tmp_path)] == ["cell.tif"]
    with pytest.raises(DataError, match="is neither a file nor a folder"):
        list_images(tmp_path / "pipe.tif")


def test_an_image_that_does_not_fit_into_memory_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = request_for(tmp_path)
    read = dataset_reader.read

    def reading(path: Path, *arguments: Any) -> Image:
        if path.name == "cell2.tif":
            raise MemoryError
        return read(path, *arguments)

    monkeypatch.setattr(dataset_reader, "read", reading)
    with pytest.raises(
        DataError, match=r"1 of 4 files.*cell2.tif does not fit into the memory"
    ) as error:
        check_data(request)
    assert error.value.hint == "Cut it into smaller images."


def test_a_header_that_asks_for_too_much_memory_is_an_image_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dl4mic_sdk import npy
    from dl4mic_sdk.images import inspect

    def header(file: Any) -> Any:
        raise MemoryError

    np.save(str(tmp_path / "a.npy"), PIXELS)
    monkeypatch.setattr(npy, "_header", header)
    with pytest.raises(ImageError, match="asks for more memory than there is"):
        inspect(tmp_path / "a.npy")


@pytest.mark.skipif(
    os.geteuid() == 0 and not shutil.which("setpriv"),
    reason="the administrator may read every file, and there is no setpriv to run without that right",
)
@pytest.mark.parametrize("what", ["images", "images/cell1.tif"])
def test_what_the_server_may_not_read_is_named(tmp_path: Path, what: str) -> None:
    request = request_for(tmp_path)
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "request.json").write_text(json.dumps(request))
    (tmp_path / what).chmod(0)
    command = [sys.executable, "-m", "dl4mic_sdk.data_check", str(tmp_path / "1")]
    if os.geteuid() == 0:
        command = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", *command]
    done = subprocess.run(command, capture_output=True)
    (tmp_path / what).chmod(0o700)
    assert done.returncode == EXIT_FAULT, done.stderr.decode()
    fault = json.loads((tmp_path / "1" / FAULT_FILE).read_text())
    assert "may not be read" in fault["message"]
    assert fault["hint"] == "Give the user that the server runs as the right to read it."
    assert len(fault["files"]) == (what != "images")
