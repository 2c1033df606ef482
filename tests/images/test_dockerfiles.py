# SPDX-License-Identifier: BSD-3-Clause
"""The Dockerfiles: linted, alike, without rights, and with CUDA only as the manifest says it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
SERVICES = sorted(path.parent for path in ROOT.glob("services/*/service.yaml"))
DOCKERFILES = [ROOT / "orchestrator", ROOT / "tests" / "fakes", *SERVICES]
WITH_CUDA = [folder for folder in SERVICES if (folder / "requirements-gpu.txt").exists()]


def text_of(folder: Path) -> str:
    return (folder / "Dockerfile").read_text()


def instructions(folder: Path) -> list[str]:
    """The lines that do something, the service's own name left out."""
    joined = text_of(folder).replace("\\\n", " ")
    lines = [line for line in joined.splitlines() if line and not line.startswith("#")]
    return [line.replace(f"services/{folder.name}", "services/NAME") for line in lines]


@pytest.mark.parametrize("folder", DOCKERFILES, ids=lambda folder: folder.name)
def test_a_dockerfile_is_linted(folder: Path) -> None:
    linter = Path(sys.executable).with_name("hadolint")
    command = [str(linter), str(folder / "Dockerfile")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("folder", SERVICES, ids=lambda folder: folder.name)
def test_the_images_of_services_differ_in_their_service_alone(folder: Path) -> None:
    assert instructions(folder) == instructions(SERVICES[0])


@pytest.mark.parametrize("folder", DOCKERFILES, ids=lambda folder: folder.name)
def test_an_image_needs_no_rights_and_shares_its_first_layers(folder: Path) -> None:
    lines = instructions(folder)
    assert lines[:2] == ["ARG BASE=python:3.11-slim-bookworm", "FROM ${BASE}"]
    assert lines[2] == instructions(SERVICES[0])[2]
    (user,) = [line for line in lines if line.startswith("USER")]
    assert user == "USER 10001:10001"
    after = lines[lines.index(user) + 1 :]
    assert not [line for line in after if line.startswith(("RUN", "COPY", "ADD"))]


@pytest.mark.parametrize("folder", DOCKERFILES, ids=lambda folder: folder.name)
def test_every_package_is_locked_and_none_is_compiled(folder: Path) -> None:
    installs = [line for line in instructions(folder) if "pip" in line and "install" in line]
    assert installs
    for line in installs:
        for option in ("--require-hashes", "--only-binary=:all:", "--no-deps", "--no-cache-dir"):
            assert option in line


@pytest.mark.parametrize("folder", WITH_CUDA, ids=lambda folder: folder.name)
def test_the_manifest_says_which_cuda_the_lock_brings(folder: Path) -> None:
    manifest = yaml.safe_load((folder / "service.yaml").read_text())
    lock = (folder / "requirements-gpu.txt").read_text()
    for key, package in (("cuda", "nvidia-cuda-runtime"), ("cudnn", "nvidia-cudnn")):
        found = re.search(rf"^{package}-cu\d+==(\d+\.\d+)\.", lock, re.MULTILINE)
        assert found is not None and manifest[key] == found[1]


def test_a_manifest_names_no_cuda_where_no_lock_brings_it() -> None:
    for folder in sorted(set(SERVICES) - set(WITH_CUDA)):
        assert "cuda" not in yaml.safe_load((folder / "service.yaml").read_text())
