# SPDX-License-Identifier: BSD-3-Clause
"""`predict` of one large image against the library's own prediction of it with ``n_tiles=(8, 8)``: memory and time.

``large_image.py NETWORK [SIDE [PAIRS]]``, in the service's environment. Trains a model first. Each run has a process of
its own, in turns; the time is from model loaded to last file written, the memory is the peak of the process.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import service_side
from predict_folder import timed, trained
from service_side import Measured

from dl4mic_sdk.images import Image, list_images, read, write
from dl4mic_sdk.pairs import Item
from dl4mic_sdk.task import ModelFolder, PredictTask

SIDE, PAIRS, TILES = 8192, 1, 8


def main(network: str, side: int = SIDE, pairs: int = PAIRS) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        example = service_side.example_of(network) / "train"
        model = trained(network, example, folder / "training")
        given = read(list_images(example / "source")[0])
        (folder / "source").mkdir()
        pixels = service_side.varied(given.pixels, 0, side)
        write(folder / "source" / "large.tif", Image(pixels, given.axes, given.pixel_size))
        runs = [
            [measured(network, model, folder, who) for who in ("ours", "bare")]
            for _ in range(pairs)
        ]
    service_side.report(
        {
            "ours_mib": statistics.median(ours["peak_mib"] for ours, _ in runs),
            "bare_mib": statistics.median(bare["peak_mib"] for _, bare in runs),
            "memory_ratio": statistics.median(o["peak_mib"] / b["peak_mib"] for o, b in runs),
            "ours_wall_s": statistics.median(ours["wall_s"] for ours, _ in runs),
            "bare_wall_s": statistics.median(bare["wall_s"] for _, bare in runs),
            "wall_ratio": statistics.median(o["wall_s"] / b["wall_s"] for o, b in runs),
            "ours_cpu_s": statistics.median(ours["cpu_s"] for ours, _ in runs),
            "bare_cpu_s": statistics.median(bare["cpu_s"] for _, bare in runs),
            "cpu_ratio": statistics.median(o["cpu_s"] / b["cpu_s"] for o, b in runs),
            "ours_objects": runs[0][0]["objects"],
            "bare_objects": runs[0][1]["objects"],
            "side": side,
            "pairs": pairs,
        }
    )


def measured(network: str, model: ModelFolder, folder: Path, who: str) -> dict[str, float]:
    """Predict once in a fresh process."""
    parameters = json.dumps(dict(model.record["parameters"]))
    command = [
        sys.executable,
        __file__,
        "--run",
        who,
        network,
        str(model.path),
        str(folder),
        parameters,
    ]
    done = subprocess.run(command, check=True, capture_output=True)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    print(who, result, flush=True)
    return result


def run(who: str, network: str, model: str, folder: str, parameters: str) -> None:
    """Predict once, here; print time and peak memory of this process."""
    source = Path(folder) / "source"
    with tempfile.TemporaryDirectory(dir=folder) as place:
        output = Path(place) / "output"
        output.mkdir()
        record = {"network": network, "parameters": json.loads(parameters)}
        loaded = ModelFolder("bench", Path(model), "best", record)
        spent = (ours if who == "ours" else bare)(network, loaded, source, output)
        peak = peak_mib()
        objects = np.count_nonzero(np.bincount(read(output / "large.tif").pixels.ravel())[1:])
    result = {"wall_s": spent.wall, "cpu_s": spent.cpu, "peak_mib": peak, "objects": float(objects)}
    service_side.report(result)


def ours(network: str, model: ModelFolder, source: Path, output: Path) -> Measured:
    """Predict as a job does."""
    chosen = service_side.parameters(network, "predict")
    plugin = service_side.open_network(network, chosen)
    plugin.load(model)
    given = read(source / "large.tif")
    item = Item("large", source / "large.tif", None, given.axes, given.pixels.shape)
    del given
    ctx = service_side.context(output.with_name("job"))
    task = PredictTask(network, chosen, [item], model, output)
    return timed(lambda: plugin.predict(task, ctx))


def bare(network: str, model: ModelFolder, source: Path, output: Path) -> Measured:
    """Predict as the library does."""
    predictor = service_side.bare_library(network).Predictor(model.path)
    return timed(lambda: predictor.predict(source, output, n_tiles=(TILES, TILES)))


def peak_mib() -> float:
    """Peak of the resident memory of this process, not of what it was started from."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return float(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024


if __name__ == "__main__":
    if sys.argv[1] == "--run":
        run(*sys.argv[2:])
    else:
        main(sys.argv[1], *map(int, sys.argv[2:]))
