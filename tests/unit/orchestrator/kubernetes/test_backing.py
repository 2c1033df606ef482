# SPDX-License-Identifier: BSD-3-Clause
"""The settings of the server and those of its cluster must agree before anything is served."""

from __future__ import annotations

from pathlib import Path

import pytest

from dl4mic_orchestrator.backends.kubernetes import client
from dl4mic_orchestrator.backing import make_backend
from dl4mic_orchestrator.settings import BackendKind, Settings

from .instances import settings as cluster_settings


@pytest.mark.parametrize("roots", [{}, {"lab2": Path("/data/lab2")}])
def test_data_roots_that_lie_on_no_claim_are_refused_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, roots: dict[str, Path]
) -> None:
    monkeypatch.setattr(client, "_configuration", client.client.Configuration)
    settings = Settings(
        workspace=tmp_path,
        services=tmp_path,
        sources=(),
        address="localhost:0",
        environments=tmp_path,
        runtime=tmp_path,
        store="",
        roots=roots,
        backend=BackendKind.KUBERNETES,
        kubernetes=cluster_settings(data_roots={"lab1": {"claim": "plates"}}),
    )
    with pytest.raises(ValueError, match=r"of --root \((none|lab2)\) .* \(lab1\) must be the same"):
        make_backend(settings, None, lambda *_: None)  # type: ignore[arg-type]
