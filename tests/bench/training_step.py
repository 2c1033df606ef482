# SPDX-License-Identifier: BSD-3-Clause
"""A training step through the service against one of the bare library, with the same settings and data.

``training_step.py NETWORK [STEPS [PAIRS]]``, in the service's environment.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import service_side
from service_side import Measured

from dl4mic_sdk.prefetch import Prefetch

EPOCHS, STEPS = 2, 40
WARM_UP = 5
"""Steps before the first that counts: the call is compiled, queues fill."""

Stamp = tuple[float, float]


def main(network: str, steps: int = STEPS, pairs: int = service_side.PAIRS) -> None:
    """Measure and print."""
    bare = service_side.bare_library(network)
    data = service_side.training_folders(network)
    chosen = service_side.parameters(network, "train", epochs=EPOCHS, steps_per_epoch=steps)
    plugin = service_side.open_network(network, chosen)
    with tempfile.TemporaryDirectory() as folder:
        models: list[Path] = []

        def ours() -> Measured:
            ctx = service_side.context(Path(tempfile.mkdtemp(dir=folder)))
            task = service_side.train_task(network, *data, chosen, ctx)
            models.append(task.model)
            return step_of(stamps_of(lambda: plugin.train(task, ctx)), steps)

        def theirs() -> Measured:
            config = models[-1] / "config.json"
            return step_of(bare.train(*data, chosen, config), steps)

        service_side.report(service_side.interleaved(ours, theirs, pairs))


def stamps_of(run: Callable[[], None]) -> Sequence[Stamp]:
    """Return when the training loop asked for each batch; validation has `Prefetch` objects of its own."""
    stamps: dict[int, list[Stamp]] = {}
    original = Prefetch.__next__

    def timed(self: Prefetch[Any]) -> Any:
        stamps.setdefault(id(self), []).append((time.perf_counter(), time.process_time()))
        return original(self)

    with patch.object(Prefetch, "__next__", timed):
        run()
    return max(stamps.values(), key=len)


def step_of(stamps: Sequence[Stamp], steps: int) -> Measured:
    """Return the mean step, those left out between which an epoch ends."""
    ends = [number for number in range(WARM_UP, len(stamps)) if number % steps]
    walls = [stamps[number][0] - stamps[number - 1][0] for number in ends]
    cpus = [stamps[number][1] - stamps[number - 1][1] for number in ends]
    return Measured(statistics.fmean(walls), statistics.fmean(cpus))


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
