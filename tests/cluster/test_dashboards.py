# SPDX-License-Identifier: BSD-3-Clause
"""What the dashboards say of GPUs and of the cluster, on a real Prometheus: nothing of it can be seen elsewhere."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import prometheus
import pytest

from dl4mic.v1.job_pb2 import Job

from .cluster import Cluster
from .outside import outside

ASKED = ("dl4mic_gpu", "dl4mic_cluster_calls")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that pods may write into."""
    with TemporaryDirectory(dir="/var/tmp", ignore_cleanup_errors=True) as place:
        yield Path(place)


@pytest.mark.skipif(prometheus.PROGRAM is None, reason=prometheus.WHY_NOT)
def test_the_panels_of_gpus_and_of_the_cluster_have_something_to_show(
    cluster: Cluster, images: None, folder: Path, tmp_path: Path
) -> None:
    if not cluster.is_ours:
        pytest.skip("its pods do not see the folders of this machine")
    namespace = f"dl4mic-panels-{uuid.uuid4().hex[:8]}"
    with (
        outside(cluster, namespace, folder / "o", {}, gpus=True) as server,
        prometheus.prometheus(tmp_path, server.metrics_port) as watching,
    ):
        server.train("gpu", epochs=4, step_seconds=0.5)
        assert server.wait("gpu").state == Job.SUCCEEDED
        time.sleep(2.0)  # rates are seen by the scrapes after it
        asked = {title for title, each in prometheus.panels().items() if _is_asked(each)}
        empty = {title for title, each in watching.empty_panels().items() if _is_asked(each)}
    assert len(asked) >= 5 and empty == set()


def _is_asked(expression: str) -> bool:
    return any(name in expression for name in ASKED)
