# SPDX-License-Identifier: BSD-3-Clause
"""Peak memory of a training on 160 images against one on 16.

``training_memory.py NETWORK``, in the service's environment; each training runs in a process of its own.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import service_side
from service_side import PAIRS

from dl4mic_sdk.images import Image, list_images, read, write

FEW, MANY = 16, 160
SIDE = 512
STEPS = 45
"""Enough to open every one of 160 images."""


def main(network: str) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as place:
        for count in (FEW, MANY):
            make_pairs(service_side.example_of(network) / "train", Path(place) / str(count), count)
        runs = [
            [peak_of(network, Path(place) / str(count)) for count in (FEW, MANY)]
            for _ in range(PAIRS)
        ]
    service_side.report(
        {
            "few_mib": statistics.median(few for few, _ in runs),
            "many_mib": statistics.median(many for _, many in runs),
            "ratio": statistics.median(many / few for few, many in runs),
        }
    )


def make_pairs(example: Path, folder: Path, count: int) -> None:
    """Write pairs of the example's content that all differ."""
    for part in ("source", "target"):
        (folder / part).mkdir(parents=True)
        given = read(list_images(example / part)[0])
        for number in range(count):
            pixels = service_side.varied(given.pixels, number, SIDE)
            path = folder / part / f"image_{number:03d}.tif"
            write(path, Image(pixels, given.axes, {}, ""), label=part == "target")


def peak_of(network: str, folder: Path) -> float:
    """Train in a fresh process; return its peak memory in MiB."""
    command = [sys.executable, __file__, network, str(folder)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return float(json.loads(done.stdout.splitlines()[-1])["peak_mib"])


def train(network: str, folder: Path) -> None:
    """Train once on a folder, here, and print the peak memory of this process."""
    chosen = service_side.parameters(network, "train", epochs=1, steps_per_epoch=STEPS)
    plugin = service_side.open_network(network, chosen)
    with tempfile.TemporaryDirectory() as place:
        ctx = service_side.context(Path(place))
        data = (folder / "source", folder / "target")
        plugin.train(service_side.train_task(network, *data, chosen, ctx), ctx)
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    service_side.report({"peak_mib": peak_kib / 1024})


if __name__ == "__main__":
    if len(sys.argv) == 3:
        train(sys.argv[1], Path(sys.argv[2]))
    else:
        main(sys.argv[1])
