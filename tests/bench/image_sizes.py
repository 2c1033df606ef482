# SPDX-License-Identifier: BSD-3-Clause
"""Sizes of the built images: as they lie on a disk, as they travel, and beside the packages that they carry.

``python tests/bench/image_sizes.py [IMAGE...]``; without any, of all that are built. "packed" is what a registry holds
and a node pulls: the layers, gzipped. "packages" is what the locked packages take up once installed, bytecode included.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "helm" / "images")]

from container_engine import podman_settings  # noqa: E402

from build import all_images  # noqa: E402

MB = 1_000_000
OF_PACKAGES = """
import sysconfig
from pathlib import Path
folders = [Path(sysconfig.get_path("purelib")).resolve(), *Path("/app").glob("sdk/lib/*/site-packages")]
print(sum(each.lstat().st_size for folder in folders for each in folder.rglob("*")))
"""
"""The orchestrator's image has a second environment, which checks data."""


def podman(*words: str) -> str:
    """Run podman; give what it says."""
    return subprocess.run(["podman", *words], check=True, capture_output=True, text=True).stdout


def is_built(image: str) -> bool:
    """Say whether the machine has an image."""
    command = ["podman", "image", "exists", image]
    return subprocess.run(command, check=False).returncode == 0


def packed(image: str) -> int:
    """Give the bytes of an image's layers as they are pulled."""
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "image.tar"
        podman("push", "--quiet", image, f"oci-archive:{archive}")
        return archive.stat().st_size


def packages(image: str) -> int:
    """Give the bytes of the packages in an image."""
    return int(podman("run", "--rm", "--network=none", image, "python", "-c", OF_PACKAGES))


def main(names: list[str]) -> None:
    """Print a line for each image."""
    os.environ.update(podman_settings())
    print(f"{'MB':32}{'image':>8}{'packed':>8}{'packages':>10}{'the rest':>10}")
    for image in names or [each.reference for each in all_images()]:
        if not is_built(image):
            print(f"{image:32}not built")
            continue
        size = int(podman("image", "inspect", "--format", "{{.Size}}", image))
        own = packages(image)
        figures = (size, packed(image), own, size - own)
        widths = (8, 8, 10, 10)
        print(f"{image:32}" + "".join(f"{n / MB:{w}.0f}" for n, w in zip(figures, widths)))


if __name__ == "__main__":
    main(sys.argv[1:])
