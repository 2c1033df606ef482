# SPDX-License-Identifier: BSD-3-Clause
"""A real Kubernetes with the chart on it; where there is none, every test here is skipped and says why."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from container_engine import NoEngine
from servers import write_spots

from .cluster import Cluster, NoClusterError, running
from .facility import Facility, made
from .installation import NAME, Installation
from .site import data_root, site

IMAGES = ("dl4mic-orchestrator", "dl4mic-fakes")


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """The cluster."""
    with ExitStack() as stack:
        try:
            found = stack.enter_context(running())
        except (NoClusterError, NoEngine) as reason:
            pytest.skip(str(reason))
        yield found


@pytest.fixture(scope="session")
def images(cluster: Cluster) -> None:
    """The images that an installation needs are there."""
    try:
        cluster.bring(*IMAGES)
    except NoEngine as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="session")
def spots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images and their label images: train and test."""
    root = tmp_path_factory.mktemp("spots")
    for seed, (part, count) in enumerate({"train": 6, "test": 3}.items()):
        write_spots(root / part, count, seed)
    return root


@pytest.fixture(scope="session")
def installation(
    cluster: Cluster, images: None, spots: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    """The chart, installed once for all tests that only use it, with data that were sent to it."""
    folder = tmp_path_factory.mktemp("installation")
    name = f"dl4mic-{uuid.uuid4().hex[:8]}"
    with (
        cluster.namespace(name),
        site(cluster, name, NAME, folder) as values,
        data_root(cluster, name, spots) as roots,
    ):
        made = Installation(cluster, name, {**values, **roots}, folder)
        made.install()
        made.send(spots)
        yield made


@pytest.fixture(scope="session")
def facility(
    cluster: Cluster, images: None, spots: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Facility]:
    """An installation in which things go wrong."""
    with made(cluster, spots, tmp_path_factory.mktemp("facility")) as facility:
        yield facility
