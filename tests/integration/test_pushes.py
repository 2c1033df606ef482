# SPDX-License-Identifier: BSD-3-Clause
"""Folders on their way to a server elsewhere: killed on either side, they go on where they were."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import dl4mic_client
from dl4mic.data_service import PARTIAL

from .conftest import Orchestrator, wait_until

New = Callable[..., Orchestrator]
LARGE = 400 << 20
ENOUGH = 8 << 20


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small image and one that takes its time; most of it are holes on the disk."""
    images = tmp_path / "plate 7"
    images.mkdir()
    (images / "a.tif").write_bytes(b"small")
    with (images / "b.tif").open("wb") as file:
        file.write(os.urandom(1 << 20))
        file.truncate(LARGE)
    return images


@pytest.fixture
def server(new_orchestrator: New) -> Iterator[Orchestrator]:
    orchestrator = new_orchestrator(listen="localhost:0")
    orchestrator.listen = orchestrator.address  # started again, it listens there again
    yield orchestrator


def push(server: Orchestrator, folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "dl4mic_client", "data", "push", str(folder)]
    command += ["--server", server.address]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_until_under_way(server: Orchestrator) -> Path:
    """Wait until a part of the large file has arrived; return the part."""

    def parts() -> list[Path]:
        found = (server.workspace / "uploads").rglob(f"*{PARTIAL}")
        return [each for each in found if each.stat().st_size > ENOUGH]

    wait_until(lambda: bool(parts()))
    return parts()[0]


def is_whole(server: Orchestrator, location: str, folder: Path) -> bool:
    client = dl4mic_client.connect(server.address)
    there = client.list_data(location, with_sha256=True)
    client.close()
    sizes = {each.location.rpartition("/")[2]: (each.size, each.complete) for each in there}
    return sizes == {"a.tif": (5, True), "b.tif": (LARGE, True)} and is_same(server, folder)


def is_same(server: Orchestrator, folder: Path) -> bool:
    (copy,) = (server.workspace / "uploads").glob("plate-7-*/b.tif")
    with copy.open("rb") as there, (folder / "b.tif").open("rb") as here:
        return there.read(2 << 20) == here.read(2 << 20)


@pytest.mark.timeout(180)
def test_a_client_that_was_killed_goes_on(server: Orchestrator, folder: Path) -> None:
    first = push(server, folder)
    part = wait_until_under_way(server)
    first.kill()
    first.communicate()
    there = part.stat()
    second = push(server, folder)
    said, errors = second.communicate()
    assert second.returncode == 0, errors
    assert said.startswith("uploads:plate-7-")
    assert is_whole(server, said.strip(), folder)
    whole = part.with_name(part.name.removesuffix(PARTIAL)).stat()
    assert whole.st_ino == there.st_ino, "it is the part that went on, and no new file"


@pytest.mark.timeout(180)
def test_a_server_that_was_killed_is_waited_for(server: Orchestrator, folder: Path) -> None:
    pushing = push(server, folder)
    wait_until_under_way(server)
    server.kill()
    server.start()
    said, errors = pushing.communicate()
    assert pushing.returncode == 0, errors
    assert is_whole(server, said.strip(), folder)


@pytest.mark.timeout(180)
def test_a_folder_that_grew_sends_what_is_new(server: Orchestrator, folder: Path) -> None:
    client = dl4mic_client.connect(server.address)
    first = client.push(folder)
    (folder / "c.tif").write_bytes(b"new")
    second = client.push(folder)
    client.close()
    assert first != second
    old, new = (
        server.workspace / "uploads" / each.removeprefix("uploads:") for each in (first, second)
    )
    assert (old / "b.tif").samefile(new / "b.tif")
    assert (new / "c.tif").read_bytes() == b"new" and not (old / "c.tif").exists()
