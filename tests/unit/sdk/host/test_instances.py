# SPDX-License-Identifier: BSD-3-Clause
"""Whom a host believes: an instance its orchestrator, wherever that calls from; a service by itself its own user."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

import pytest

from dl4mic.check import Refused
from dl4mic.manifest import read_service
from dl4mic.v1.request_pb2 import PredictRequest
from dl4mic_sdk.host.jobs import Jobs

BLUR = Path(__file__).resolve().parents[3] / "fakes" / "blur"


def resolved(tmp_path: Path, attempt: Optional[int]) -> str:
    jobs = Jobs(read_service(BLUR), tmp_path / "jobs", {}, attempt)
    try:
        request = PredictRequest(network="blur")
        request.data.source = request.model.location = str(tmp_path)
        return jobs.resolved(request, local=False).data.source
    finally:
        jobs.close()


def test_an_instance_takes_the_paths_of_its_orchestrator(tmp_path: Path) -> None:
    assert resolved(tmp_path, attempt=1) == str(tmp_path)


def test_a_service_by_itself_takes_no_path_from_afar(tmp_path: Path) -> None:
    with pytest.raises(Refused):
        resolved(tmp_path, attempt=None)
