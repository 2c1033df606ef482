# SPDX-License-Identifier: BSD-3-Clause
"""`predict` of a folder, from model loaded to last file written, against a loop of the library's own.

``predict_folder.py NETWORK [SIDE [IMAGES [PAIRS]]]``, in the service's environment; trains a model first, for some
hundred steps. Beside it stands what the network alone takes for images in memory, compiled, and its share of ours.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import service_side
from service_side import Measured

from dl4mic_sdk.images import Image, list_images, read, write
from dl4mic_sdk.task import ModelFolder, PredictTask

SIDE, IMAGES, EPOCHS = 512, 64, 5


def main(
    network: str, side: int = SIDE, images: int = IMAGES, pairs: int = service_side.PAIRS
) -> None:
    """Measure and print."""
    chosen = service_side.parameters(network, "predict")
    with tempfile.TemporaryDirectory() as place:
        model = trained(network, Path(place) / "training")
        bare = service_side.bare_library(network).Predictor(model.path)
        plugin = service_side.open_network(network, chosen)
        plugin.load(model)
        source = Path(place) / "source"
        make_images(service_side.training_folders(network)[0], source, side, images)
        items = service_side.items_of(source)

        def ours() -> Measured:
            ctx = service_side.context(Path(tempfile.mkdtemp(dir=place)))
            output = ctx.artifacts / "predictions"
            output.mkdir()
            task = PredictTask(network, chosen, items, model, output)
            return timed(lambda: plugin.predict(task, ctx))

        def theirs() -> Measured:
            output = Path(tempfile.mkdtemp(dir=place))
            return timed(lambda: bare.predict(source, output))

        result = service_side.interleaved(ours, theirs, pairs)
        kernel = 1e3 * statistics.median(kernel_of(bare, source).wall for _ in range(pairs))
    share = kernel / result["ours_wall_ms"]
    asked = {"side": side, "images": images, "pairs": pairs}
    service_side.report({**result, "kernel_wall_ms": kernel, "kernel_share": share, **asked})


def trained(network: str, place: Path) -> ModelFolder:
    """Train for a while, so that there are objects to find."""
    chosen = service_side.parameters(network, "train", epochs=EPOCHS)
    ctx = service_side.context(place)
    folders = service_side.training_folders(network)
    task = service_side.train_task(network, *folders, chosen, ctx)
    service_side.open_network(network, chosen).train(task, ctx)
    return ModelFolder("bench", task.model, "best", {"network": network, "parameters": chosen})


def make_images(example: Path, folder: Path, side: int, images: int) -> None:
    """Write images of the example's content, mirrored to size and shifted, so that all differ."""
    folder.mkdir()
    given = read(list_images(example)[0])
    for number in range(images):
        pixels = service_side.varied(given.pixels, number, side)
        write(folder / f"image_{number:03d}.tif", Image(pixels, given.axes, {}, ""))


def kernel_of(bare: Any, source: Path) -> Measured:
    """Time the network alone, one image after the other, read before; the first one warms up."""
    paths = list_images(source)
    bare.compute(read(paths[0]).pixels)
    spent = []
    for path in paths:
        pixels = read(path).pixels
        spent.append(timed(lambda image=pixels: bare.compute(image)))
    return Measured(sum(each.wall for each in spent), sum(each.cpu for each in spent))


def timed(run: Callable[[], object]) -> Measured:
    """Time one call."""
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    return Measured(time.perf_counter() - wall, time.process_time() - cpu)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
