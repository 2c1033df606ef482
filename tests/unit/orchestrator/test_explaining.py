# SPDX-License-Identifier: BSD-3-Clause
"""Why a job waits, asked before the first pass over it: a caller may be faster than the reconciler."""

from __future__ import annotations

from pathlib import Path

import grpc

from dl4mic.v1.catalog_pb2 import ExplainJobRequest, ExplainJobResponse
from dl4mic.v1.job_pb2 import Job
from dl4mic_orchestrator.api.catalog import CatalogApi
from dl4mic_orchestrator.catalog import Catalog
from dl4mic_orchestrator.records import Capacity
from dl4mic_orchestrator.store import Store


def explained(store: Store, job_id: str) -> ExplainJobResponse:
    """Ask of a reconciler that knows nothing yet."""
    api = CatalogApi(
        Catalog([]), store, lambda: Capacity(cpus=2, memory_bytes=1 << 30), lambda job_id: ("", 0)
    )
    context: grpc.ServicerContext = None  # type: ignore[assignment]
    return api.ExplainJob(ExplainJobRequest(job_id=job_id), context)


def test_a_job_without_a_pass_yet_has_a_reason(tmp_path: Path) -> None:
    store = Store(tmp_path / "store.sqlite")
    for job_id, depends_on in ("first", []), ("second", ["first"]):
        job = Job(id=job_id, network="blur", project="default")
        job.train.model = "m"
        store.jobs.create(job, depends_on)
    assert explained(store, "first") == ExplainJobResponse(
        reason="its place in the queue is not known yet"
    )
    assert explained(store, "second") == ExplainJobResponse(
        reason="waits for the result of job first", waits_for=["first"]
    )
    store.close()
