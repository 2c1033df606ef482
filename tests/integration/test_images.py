# SPDX-License-Identifier: BSD-3-Clause
"""The images that `make images` built: they serve under any user over a read-only root, and bring no compiler."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
from container_engine import NoEngine, check_runs, podman_settings
from servers import ROOT

from demo import image_of, network_of_the_readme

from .conftest import wait_until

sys.path.insert(0, str(ROOT / "helm" / "images"))
import build

IMAGES = {each.name: each for each in build.all_images() if not each.gpu}
ORCHESTRATOR = "dl4mic-orchestrator"
RUN = (ORCHESTRATOR, "dl4mic-fakes", image_of(network_of_the_readme()))
COMMANDS = {ORCHESTRATOR: ("python", "-m", "dl4mic_orchestrator", "--listen", "localhost:50051")}
"""In place of an image's own: to callers from elsewhere, an orchestrator wants a certificate."""


@pytest.fixture(params=RUN)
def image(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> build.Image:
    found = IMAGES[request.param]
    try:
        settings = podman_settings()
        check_runs(found.reference, settings)
    except NoEngine as reason:
        pytest.skip(str(reason))
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    return found


@pytest.fixture
def inside(image: build.Image) -> Iterator[Callable[..., subprocess.CompletedProcess[str]]]:
    """Run commands in a container that serves, under a user that the image does not know."""
    started = call(
        "run", "--detach", "--pull=never", "--network=none", "--read-only", "--user=4321:4321",
        "--cap-drop=all", "--tmpfs=/tmp:mode=1777", "--tmpfs=/workspace:mode=1777", image.reference,
        *COMMANDS.get(image.name, ()),
    )  # fmt: skip
    assert started.returncode == 0, started.stderr
    name = started.stdout.strip()
    yield lambda *words: call("exec", name, *words)
    call("rm", "--force", "--time", "0", name)


def call(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["podman", *words], capture_output=True, text=True, check=False)


def test_it_serves_without_rights(
    inside: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    probe = ("python", "-m", "dl4mic.health", "localhost:50051")
    wait_until(lambda: inside(*probe).returncode == 0, 60)
    assert inside("id", "--user").stdout.strip() == "4321"
    assert "Read-only" in inside("touch", "/app/x").stderr


def test_it_brings_no_compiler(inside: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    found = inside("sh", "-c", "command -v cc gcc c++ g++ clang make; true")
    assert (found.returncode, found.stdout) == (0, "")


def test_it_says_what_it_is_and_whom_it_runs_as(image: build.Image) -> None:
    (told,) = json.loads(call("image", "inspect", image.reference).stdout)
    assert told["Config"]["User"] == "10001:10001"
    labels = told["Config"]["Labels"]
    assert {name: labels.get(name) for name in image.labels if "revision" not in name} == {
        name: value for name, value in image.labels.items() if "revision" not in name
    }
