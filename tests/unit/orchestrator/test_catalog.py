# SPDX-License-Identifier: BSD-3-Clause
"""What the networks of the services ask of a machine."""

from __future__ import annotations

from pathlib import Path

import pytest
from servers import FAKES, needing_a_gpu

from dl4mic.manifest import Service, read_service
from dl4mic_orchestrator.catalog import Catalog
from dl4mic_orchestrator.records import GpuUse


def service(use: str, folder: Path) -> Service:
    if use == "none":
        return read_service(FAKES / "blur")
    copied = needing_a_gpu("blur", folder)
    manifest = copied / "service.yaml"
    manifest.write_text(manifest.read_text().replace("gpu: needed", f"gpu: {use}"))
    return read_service(copied)


@pytest.mark.parametrize(
    ("use", "expected"),
    [("none", GpuUse.NONE), ("useful", GpuUse.NONE), ("needed", GpuUse.NEEDED)],
)
def test_who_has_no_image_with_cuda_holds_no_gpu_that_is_merely_useful(
    use: str, expected: GpuUse, tmp_path: Path
) -> None:
    found = service(use, tmp_path)
    assert Catalog([found]).needs()["blur"].gpu_use.value == use
    assert Catalog([found], {"blur"}).needs()["blur"].gpu_use is expected
    assert Catalog([found], {"other"}).needs()["blur"].gpu_use.value == use
