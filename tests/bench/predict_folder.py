# SPDX-License-Identifier: BSD-3-Clause
"""`predict` of a folder, from model loaded to last file written, against a loop of the library's own.

``predict_folder.py NETWORK``, in the service's environment; trains a model first, for some hundred steps.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import service_side
from service_side import Measured

from dl4mic_sdk.images import Image, list_images, read, write
from dl4mic_sdk.pairs import Item
from dl4mic_sdk.task import ModelFolder, PredictTask

IMAGES, SIDE, EPOCHS = 64, 512, 5


def main(network: str) -> None:
    """Measure and print."""
    example = service_side.example_of(network) / "train"
    chosen = service_side.parameters(network, "predict")
    with tempfile.TemporaryDirectory() as place:
        model = trained(network, example, Path(place) / "training")
        bare = service_side.bare_library(network).Predictor(model.path)
        plugin = service_side.open_network(network, chosen)
        plugin.load(model)
        source = Path(place) / "source"
        items = make_images(example / "source", source)

        def ours() -> Measured:
            ctx = service_side.context(Path(tempfile.mkdtemp(dir=place)))
            output = ctx.artifacts / "predictions"
            output.mkdir()
            task = PredictTask(network, chosen, items, model, output)
            return timed(lambda: plugin.predict(task, ctx))

        def theirs() -> Measured:
            output = Path(tempfile.mkdtemp(dir=place))
            return timed(lambda: bare.predict(source, output))

        service_side.report(service_side.interleaved(ours, theirs))


def trained(network: str, example: Path, place: Path) -> ModelFolder:
    """Train for a while, so that there are objects to find."""
    chosen = service_side.parameters(network, "train", epochs=EPOCHS)
    ctx = service_side.context(place)
    task = service_side.train_task(network, example / "source", example / "target", chosen, ctx)
    service_side.open_network(network, chosen).train(task, ctx)
    return ModelFolder("bench", task.model, "best", {"network": network, "parameters": chosen})


def make_images(example: Path, folder: Path) -> list[Item]:
    """Write images of the example's content, mirrored to size and shifted, so that all differ."""
    folder.mkdir()
    given = read(list_images(example)[0])
    for number in range(IMAGES):
        pixels = service_side.varied(given.pixels, number, SIDE)
        write(folder / f"image_{number:02d}.tif", Image(pixels, given.axes, {}, ""))
    paths = list_images(folder)
    paths = list_images(folder)
    return [Item(path.stem, path, None, given.axes, pixels.shape) for path in paths]


def timed(run: Callable[[], object]) -> Measured:
    """Time one call."""
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    return Measured(time.perf_counter() - wall, time.process_time() - cpu)


if __name__ == "__main__":
    main(sys.argv[1])
