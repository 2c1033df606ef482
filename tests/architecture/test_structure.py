# SPDX-License-Identifier: BSD-3-Clause
"""The rules of the tree: import contracts, the shape of a service folder, and that nothing else names a network."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from dl4mic.manifest import read_service
from dl4mic_sdk.service_check import problems_of_service

ROOT = Path(__file__).resolve().parents[2]
SERVICES = sorted(path.parent for path in ROOT.glob("services/*/service.yaml"))
FAKES = sorted(path.parent for path in ROOT.glob("tests/fakes/*/service.yaml"))

DOCUMENTS = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SOURCE.txt")
TAKE_A_NETWORK_AS_ARGUMENT = ("Makefile", "tests/demo.py", "tests/bench/", "docs/")
MADE_FROM_THE_MANIFESTS = ("helm/dl4mic/values.yaml",)


def tracked_files() -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True
    )
    return [name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8", errors="ignore")


def test_the_arrows_between_packages() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [str(linter)], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("folder", [*SERVICES, *FAKES], ids=lambda folder: folder.name)
def test_a_service_folder_is_complete(folder: Path) -> None:
    assert problems_of_service(folder) == []


@pytest.mark.parametrize("folder", SERVICES, ids=lambda folder: folder.name)
def test_nothing_outside_its_folder_names_a_service(folder: Path) -> None:
    service = read_service(folder)
    names = "|".join(sorted({service.name, *service.networks}))
    words = re.compile(f"(?<![a-z])(?:{names})(?![a-z])")  # a name may be part of a word
    naming = []
    for name in tracked_files():
        exempt = name.startswith(
            (f"services/{folder.name}/", *TAKE_A_NETWORK_AS_ARGUMENT, *MADE_FROM_THE_MANIFESTS)
        ) or name.endswith(DOCUMENTS)
        if not exempt and words.search(text_of(name)):
            naming.append(name)
    assert naming == []


def test_no_file_carries_a_path_of_a_machine_or_a_registry_host() -> None:
    leak = re.compile(
        r"/root/|/home/[a-z]|/work/|files\.pythonhosted|pypi\.org|registry\.npmjs|docker\.io"
    )
    this = Path(__file__).relative_to(ROOT).as_posix()
    leaking = [name for name in tracked_files() if name != this and leak.search(text_of(name))]
    assert leaking == []


def test_nothing_outside_the_tests_names_a_temporary_folder() -> None:
    """A lock, for one, records the paths that it was made with."""
    leak = re.compile(r"/tmp/[a-z0-9_-]+/")
    outside = [name for name in tracked_files() if not name.startswith("tests/")]
    assert [name for name in outside if leak.search(text_of(name))] == []


def test_every_python_file_states_its_licence() -> None:
    lacking = [
        name
        for name in tracked_files()
        if name.endswith(".py")
        and "_pb2" not in name
        and "SPDX-License-Identifier" not in text_of(name)[:200]
    ]
    assert lacking == []


def test_every_library_module_stays_one_idea() -> None:
    """No file over 400 lines, no function over 60: measured where it is written, not where it is generated."""
    long = []
    for name in tracked_files():
        library = (
            name.endswith(".py")
            and "_pb2" not in name
            and "/tests/" not in name
            and not name.startswith("tests/")
        )
        if library and len(text_of(name).splitlines()) > 400:
            long.append(name)
    assert long == []
