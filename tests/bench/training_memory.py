# SPDX-License-Identifier: BSD-3-Clause
"""Peak memory of a training on many images against one on few: 160 and 16 of 512 x 512 px by default.

``training_memory.py NETWORK [MANY [SIDE [PAIRS]]]``, in the service's environment; each training runs in a process of
its own, and opens every image. The images are written first.
"""

from __future__ import annotations

import json
import math
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
PARTS = ("source", "target")


def main(network: str, many: int = MANY, side: int = SIDE, pairs: int = PAIRS) -> None:
    """Measure and print."""
    counts = (FEW, many)
    with tempfile.TemporaryDirectory() as place:
        for count in counts:
            make_pairs(network, Path(place) / str(count), count, side)
        runs = [
            [
                peak_of(network, Path(place) / str(count), steps_for(network, many))
                for count in counts
            ]
            for _ in range(pairs)
        ]
    service_side.report(
        {
            "few_mib": statistics.median(few for few, _ in runs),
            "many_mib": statistics.median(many for _, many in runs),
            "ratio": statistics.median(many / few for few, many in runs),
            "few_images": FEW,
            "many_images": many,
            "side": side,
            "pairs": pairs,
        }
    )


def make_pairs(network: str, folder: Path, count: int, side: int) -> None:
    """Write images of the example's content that all differ, and their targets."""
    labels = "label" in service_side.service_of(network).records[network]["supervision"]
    for part, example in zip(PARTS, service_side.training_folders(network), strict=True):
        if example is None:
            continue
        (folder / part).mkdir(parents=True)
        given = read(list_images(example)[0])
        for number in range(count):
            pixels = service_side.varied(given.pixels, number, side)
            path = folder / part / f"image_{number:04d}.tif"
            write(path, Image(pixels, given.axes, {}, ""), label=labels and part == "target")


def steps_for(network: str, images: int) -> int:
    """Steps of an epoch that draw from every one of so many images: none is drawn twice before."""
    batch = service_side.parameters(network, "train")["batch_size"]
    return math.ceil(images / batch)


def peak_of(network: str, folder: Path, steps: int) -> float:
    """Train in a fresh process; return its peak memory in MiB."""
    command = [sys.executable, __file__, "--run", network, str(folder), str(steps)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return float(json.loads(done.stdout.splitlines()[-1])["peak_mib"])


def train(network: str, folder: Path, steps: int) -> None:
    """Train once on a folder, here, and print the peak memory of this process."""
    chosen = service_side.parameters(network, "train", epochs=1, steps_per_epoch=steps)
    plugin = service_side.open_network(network, chosen)
    with tempfile.TemporaryDirectory() as place:
        ctx = service_side.context(Path(place))
        target = folder / "target"
        data = (folder / "source", target if target.exists() else None)
        plugin.train(service_side.train_task(network, *data, chosen, ctx), ctx)
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    service_side.report({"peak_mib": peak_kib / 1024})


if __name__ == "__main__":
    if sys.argv[1] == "--run":
        train(sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]))
    else:
        main(sys.argv[1], *map(int, sys.argv[2:]))
