# SPDX-License-Identifier: BSD-3-Clause
"""What the dashboards say of GPUs and of the cluster, on a real Prometheus: nothing of it can be seen elsewhere."""

from __future__ import annotations

import time
from pathlib import Path

import prometheus
import pytest

from dl4mic.v1.job_pb2 import Job

from .facility import Facility

ASKED = ("dl4mic_gpu", "dl4mic_cluster_calls")


def metrics_of(facility: Facility) -> str:
    """Give the address of the orchestrator's metrics."""
    selector = "--selector=app.kubernetes.io/component=orchestrator"
    (pod,) = facility.get("pods", selector)["items"]
    (container,) = pod["spec"]["containers"]
    (port,) = [each["containerPort"] for each in container["ports"] if each["name"] == "metrics"]
    return f"{pod['status']['podIP']}:{port}"


@pytest.mark.skipif(prometheus.PROGRAM is None, reason=prometheus.WHY_NOT)
def test_the_panels_of_gpus_and_of_the_cluster_have_something_to_show(
    facility: Facility, tmp_path: Path
) -> None:
    with prometheus.prometheus(tmp_path, metrics_of(facility)) as watching:
        facility.train("shown", network="accelerated", epochs=4, step_seconds=0.5)
        assert facility.wait("shown").state == Job.SUCCEEDED
        time.sleep(2.0)  # rates are seen by the scrapes after it
        empty = watching.empty_panels()
    panels = prometheus.panels()
    asked = {title for title in panels if any(name in panels[title] for name in ASKED)}
    assert len(asked) >= 5 and asked & empty.keys() == set()
