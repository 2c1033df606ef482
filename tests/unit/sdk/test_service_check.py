# SPDX-License-Identifier: BSD-3-Clause
"""The check of a service folder tells its author in plain words what is wrong."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from dl4mic_sdk.__main__ import main
from dl4mic_sdk.service_check import problems_of_service

FAKE = Path(__file__).resolve().parents[2] / "fakes" / "blur"


@pytest.fixture
def folder(tmp_path):
    copy = tmp_path / "blur"
    shutil.copytree(str(FAKE), str(copy))
    return copy


def change(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_a_complete_folder_is_in_order(folder):
    assert problems_of_service(folder) == []


@pytest.mark.parametrize("name", ["network.py", "requirements.txt", "README.md", "service.yaml"])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    assert any(each.startswith(name) for each in problems_of_service(folder))


def test_a_folder_of_another_name_is_told(folder):
    moved = folder.with_name("mine")
    folder.rename(moved)
    assert any(
        "'blur', but the folder is called 'mine'" in each for each in problems_of_service(moved)
    )


def test_a_network_that_the_manifest_does_not_have_is_told(folder):
    change(folder / "network.py", '{"blur": Blur}', '{"blurr": Blur}')
    problems = " ".join(problems_of_service(folder))
    assert "does not name blur," in problems and "names blurr" in problems


def test_a_missing_method_is_told(folder):
    change(folder / "network.py", "def predict_image(", "def predict_picture(")
    assert "network.py: class Blur has no method predict_image" in problems_of_service(folder)


def test_a_format_that_nothing_reads_is_told(folder):
    change(folder / "network.py", "def import_model(", "def take_model(")
    said = "no class has the method import_model, which plain in service.yaml needs"
    assert any(said in each for each in problems_of_service(folder))


def test_a_forbidden_import_is_told(folder):
    change(folder / "network.py", "import time\n", "import time\nimport grpc\n")
    assert any("imports grpc" in each for each in problems_of_service(folder))


def test_a_lock_without_hashes_is_told(folder):
    (folder / "requirements.txt").write_text("numpy==1.0\n")
    assert any("has no hashes" in each for each in problems_of_service(folder))


def test_a_default_outside_its_bounds_is_told(folder):
    change(folder / "service.yaml", "default: 5, minimum: 1", "default: 0, minimum: 1")
    assert any(
        "default of epochs: 0 is not allowed" in each for each in problems_of_service(folder)
    )


def test_the_command_says_it_and_fails(folder, capsys):
    assert main(["check", str(folder)]) == 0
    (folder / "README.md").unlink()
    assert main(["check", str(folder)]) == 1
    assert "- README.md is missing" in capsys.readouterr().out


def test_describe_prints_the_networks(folder, capsys):
    assert main(["describe", str(folder)]) == 0
    assert '"name": "blur"' in capsys.readouterr().out
    (folder / "service.yaml").unlink()
    assert main(["describe", str(folder)]) == 2
