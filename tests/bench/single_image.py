# SPDX-License-Identifier: BSD-3-Clause
"""`PredictImage` of 256 x 256 pixels against a warm worker, and the same call in the process.

``single_image.py NETWORK``, in the environment of the orchestrator. The service's own environment makes the call in the
process; both use the same model, trained first (preset quick), and are timed in turns.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

import dl4mic_client

ROOT = Path(__file__).resolve().parents[2]
WORKSPACE = ROOT / "build" / "bench-workspace"
SIZE = 256
WARM_UP = 3
PAIRS = 20


def pixels_of(seed: int) -> np.ndarray:
    """Noise with a dozen bright discs."""
    random = np.random.default_rng(seed)
    pixels = random.normal(100, 10, (SIZE, SIZE))
    grid = np.mgrid[:SIZE, :SIZE]
    for centre in random.integers(20, SIZE - 20, (12, 2)):
        pixels[np.hypot(*(grid - centre[:, None, None])) < 10] += 200
    return pixels.astype(np.uint16)


class InProcess:
    """The network loaded in a process of the service's environment, asked by lines."""

    def __init__(self, network: str, model: Path) -> None:
        service = next(ROOT.glob(f"services/*/example/{network}")).parents[1]
        pythons = WORKSPACE.glob(f"environments/{service.name}-*/bin/python")
        python = max(pythons, key=lambda path: path.lstat().st_mtime)
        command = [
            str(python),
            str(Path(__file__).with_name("in_process.py")),
            network,
            str(service),
            str(model),
        ]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def seconds(self, seed: int) -> float:
        """Predict the image of a seed; return the seconds of the call alone."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(pixels_of(seed).tolist()) + "\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


def main(network: str) -> None:
    example = next(ROOT.glob(f"services/*/example/{network}"))
    os.environ.setdefault("DL4MIC_WORKSPACE", str(WORKSPACE))
    with dl4mic_client.connect() as client:
        data = {"source": example / "train" / "source", "target": example / "train" / "target"}
        job = client.train(network, **data, model="bench", preset="quick").wait()
        model = WORKSPACE / "jobs" / job.id / "artifacts" / "model"
        bare = InProcess(network, model)

        def served(seed: int) -> float:
            image = pixels_of(seed)
            started = time.perf_counter()
            client.predict_image(image, axes="YX", model=job.model, network=network)
            return time.perf_counter() - started

        for seed in range(WARM_UP):
            served(seed), bare.seconds(seed)
        pairs = [(served(seed), bare.seconds(seed)) for seed in range(WARM_UP, WARM_UP + PAIRS)]
        bare.close()
    ours = statistics.median(first for first, _ in pairs) * 1e3
    theirs = statistics.median(second for _, second in pairs) * 1e3
    added = statistics.median(first - second for first, second in pairs) * 1e3
    print(f"{network}: one image of {SIZE} x {SIZE}, warm, medians of {PAIRS} pairs")
    print(f"  PredictImage {ours:.1f} ms, in the process {theirs:.1f} ms, added {added:.1f} ms")


if __name__ == "__main__":
    main(sys.argv[1])
