# SPDX-License-Identifier: BSD-3-Clause
"""The probe of containers: it asks a server by the contract, and its exit status is the answer."""

from __future__ import annotations

from pathlib import Path

import pytest
from grpc_health.v1 import health_pb2

from dl4mic import health
from dl4mic.server import listen


def test_a_server_that_serves_and_one_that_no_longer_does(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    listening = listen("unix://{}/s".format(tmp_path), {})
    try:
        assert health.main([listening.address]) == 0
        listening.health.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
        assert health.main([listening.address]) == 1
        assert "NOT_SERVING" in capsys.readouterr().err
    finally:
        listening.server.stop(0).wait()


def test_nobody_at_the_address(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    address = "unix://{}/none".format(tmp_path)
    assert health.main([address, "--timeout", "5"]) == 1
    assert capsys.readouterr().err.startswith(address)
