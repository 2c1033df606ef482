# SPDX-License-Identifier: BSD-3-Clause
"""The settings of the server and those of its cluster must agree before anything is served."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dl4mic_orchestrator.backends.kubernetes import backend, client
from dl4mic_orchestrator.backing import make_backend
from dl4mic_orchestrator.settings import BackendKind, Settings

from .instances import settings as cluster_settings


@pytest.fixture(autouse=True)
def somewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Know a cluster, of which nothing is asked."""
    monkeypatch.setattr(client, "_configuration", client.client.Configuration)
    monkeypatch.setattr(backend, "KubernetesBackend", lambda *parts: parts)


def made(folder: Path, roots: dict[str, Path]) -> Any:
    settings = Settings(
        workspace=Path("/workspace"),
        services=folder / "services",
        sources=(),
        address="localhost:0",
        environments=folder,
        runtime=folder,
        store="",
        roots=roots,
        backend=BackendKind.KUBERNETES,
        kubernetes=cluster_settings(data_roots={"lab1": {"claim": "plates"}}),
    )
    return make_backend(settings, None, lambda *_: None)  # type: ignore[arg-type]


@pytest.mark.parametrize("roots", [{}, {"lab2": Path("/data/lab2")}])
def test_data_roots_that_lie_on_no_claim_are_refused_at_the_start(
    tmp_path: Path, roots: dict[str, Path]
) -> None:
    with pytest.raises(ValueError, match=r"of --root \((none|lab2)\) .* \(lab1\) must be the same"):
        made(tmp_path, roots)


def test_examples_lie_in_the_images_and_the_rest_on_claims(tmp_path: Path) -> None:
    service = tmp_path / "fakes" / "blur"
    service.mkdir(parents=True)
    (service / "service.yaml").touch()
    (tmp_path / "services").mkdir()
    (tmp_path / "services" / "blur").symlink_to(service)
    *_, volumes, _ = made(tmp_path, {"lab1": Path("/data/lab1")})
    reads = (service / "example" / "train", Path("/data/lab1/p7"))
    claims, mounts = volumes.mounts((Path("/workspace/jobs/a"),), reads)
    assert [each["mountPath"] for each in mounts] == ["/workspace/jobs/a", "/data/lab1/p7"]
    assert {each["persistentVolumeClaim"]["claimName"] for each in claims} == {
        "plates",
        "workspace",
    }
