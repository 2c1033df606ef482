# SPDX-License-Identifier: BSD-3-Clause
"""Which networks a server offers: those that it could run."""

from __future__ import annotations

from pathlib import Path

import pytest

from dl4mic_orchestrator.app import _offered
from dl4mic_orchestrator.backends.images import ServiceImages
from dl4mic_orchestrator.settings import BackendKind, Settings

FAKES = Path(__file__).resolve().parents[2] / "fakes"


def offered(folder: Path, backend: BackendKind, *images: str) -> list[str]:
    settings = Settings(
        workspace=folder,
        services=FAKES,
        sources=(),
        address="localhost:0",
        environments=folder,
        runtime=folder,
        store=folder / "store.sqlite",
        backend=backend,
        images={name: ServiceImages(f"{name}:1") for name in images},
    )
    return [service.name for service in _offered(settings)]


def test_on_this_machine_every_service_is_offered(tmp_path: Path) -> None:
    assert offered(tmp_path, BackendKind.LOCAL) == ["blur", "smooth"]


@pytest.mark.parametrize("backend", [BackendKind.CONTAINER, BackendKind.KUBERNETES])
def test_of_images_those_services_that_have_one(
    tmp_path: Path, backend: BackendKind, caplog: pytest.LogCaptureFixture
) -> None:
    assert offered(tmp_path, backend, "blur", "blurr") == ["blur"]
    assert "--images names blurr; no such service" in caplog.text
