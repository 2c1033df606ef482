# SPDX-License-Identifier: BSD-3-Clause
"""One row of the table of quality: ``quality.py NETWORK ROW DATA [NAME=VALUE ...]``, in the service's environment.

A row of ``quality.yaml`` says what is learned from, and which images, never trained on, are restored. By profile
``standard`` the table holds the source, the model, and a Gaussian and a median filter that are tuned on the training
pairs; without a target, what tells of noise and structure. The line is kept in ``quality.jsonl``, with command and
versions; ``--record FILE`` keeps it elsewhere. ``--panel FILE`` draws a test image.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import service_side
import yaml

from dl4mic_sdk.images import Image, list_images, read, write
from dl4mic_sdk.pairs import Item
from dl4mic_sdk.qc.agreement import Profile
from dl4mic_sdk.qc.baselines import mean_similarity
from dl4mic_sdk.qc.panels import Panel, save_png
from dl4mic_sdk.qc.residual import measure_residual
from dl4mic_sdk.qc.restoration import compare_images
from dl4mic_sdk.qc.restoration_definitions import PREDICTION, SOURCE, Metric, headline_id, numbers
from dl4mic_sdk.qc.restoration_panel import residual_panel, restoration_panel
from dl4mic_sdk.qc.simple_filters import GAUSSIAN, MEDIAN, SimpleFilter, tune
from dl4mic_sdk.qc.training_pairs import crops
from dl4mic_sdk.task import ModelFolder, PredictTask
from dl4mic_sdk.versions import installed_versions

ROWS = Path(__file__).with_suffix(".yaml")
RECORD = Path(__file__).with_suffix(".jsonl")
MODEL = "model"

Figures = dict[str, dict[str, float]]
"""What was compared -> number -> its mean over the test images."""


def main(arguments: argparse.Namespace) -> None:
    """Run a row, print and keep it."""
    row = yaml.safe_load(ROWS.read_text(encoding="utf-8"))[arguments.network][arguments.row]
    given = {**row["parameters"], **dict(map(setting, arguments.parameters))}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for part in ("train", "test"):
            make_images(row[part], arguments.data, folder / part)
        began = time.monotonic()
        model = trained(arguments.network, folder / "train", given)
        minutes = (time.monotonic() - began) / 60
        predict(arguments.network, model, folder / "test")
        found, filters = figures_of(folder)
        if arguments.panel:
            save_png(panel(folder / "test"), arguments.panel)
    show(found)
    packages = ("numpy", "scipy", *service_side.service_of(arguments.network).packages)
    line = {
        "command": ["quality.py", arguments.network, arguments.row, *arguments.parameters],
        "train": row["train"],
        "test": row["test"],
        "parameters": given,
        "training_minutes": round(minutes, 2),
        "cores": len(os.sched_getaffinity(0)),
        "filters": filters,
        "figures": found,
        "versions": {"python": platform.python_version(), **installed_versions(packages)},
    }
    with arguments.record.open("a", encoding="utf-8") as record:
        record.write(json.dumps(line) + "\n")


def setting(text: str) -> tuple[str, Any]:
    """Read ``name=value``."""
    name, _, value = text.partition("=")
    return name, yaml.safe_load(value)


def make_images(part: Mapping[str, Any], data: Path, folder: Path) -> None:
    """Write what a row learns from, or is tested on, into ``source`` and ``target``."""
    noise = np.random.default_rng(0)
    for role in ("target", "source"):
        files = files_of(data / part[role]) if role in part else []
        for path in files:
            image = cut(read(path, part.get("axes", "")), part.get("region"))
            # One image of a pair may be called otherwise than the other; where there are several, they are not.
            name = path.name if len(files) > 1 else "image.tif"
            write_into(folder / role, name, image)
            if "noise" in part:
                noisy = image.pixels + noise.normal(0, part["noise"], image.pixels.shape)
                write_into(folder / "source", name, image.with_pixels(noisy.astype(np.float32)))


def files_of(place: Path) -> list[Path]:
    """Return the images of a folder, or those of a pattern."""
    found = list_images(place) if place.is_dir() else sorted(place.parent.glob(place.name))
    if not found:
        raise SystemExit(f"there is no {place}")
    return found


def cut(image: Image, region: str | None) -> Image:
    """Cut a region, written as slices along the image's axes, out of an image."""
    if region is None:
        return image
    ends = [[int(end) if end else None for end in each.split(":")] for each in region.split(",")]
    return image.with_pixels(image.pixels[tuple(slice(*each) for each in ends)])


def write_into(folder: Path, name: str, image: Image) -> None:
    """Write an image into a folder that may not be there."""
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / name, image)


def trained(network: str, folder: Path, given: Mapping[str, Any]) -> ModelFolder:
    """Train, with the targets if the network learns from them."""
    chosen = service_side.parameters(network, "train", "default", **given)
    paired = service_side.service_of(network).records[network]["supervision"] == "paired_images"
    ctx = service_side.context(folder / "job")
    target = folder / "target" if paired else None
    task = service_side.train_task(network, folder / "source", target, chosen, ctx)
    service_side.open_network(network, chosen).train(task, ctx)
    return ModelFolder("bench", task.model, "best", {"network": network, "parameters": chosen})


def predict(network: str, model: ModelFolder, folder: Path) -> None:
    """Restore the test images into ``model`` beside them, as a job does."""
    chosen = service_side.parameters(network, "predict")
    plugin = service_side.open_network(network, chosen)
    plugin.load(model)
    (folder / MODEL).mkdir()
    items = service_side.items_of(folder / SOURCE)
    task = PredictTask(network, chosen, items, model, folder / MODEL)
    plugin.predict(task, service_side.context(folder / "job"))


def figures_of(folder: Path) -> tuple[Figures, list[str]]:
    """Score the test images; return the means, and what filters they are held against."""
    test = folder / "test"
    if not (test / "target").exists():
        return means(residuals(test)), []
    filters = tuned(folder / "train")
    scored = (scores(test, path.name, filters) for path in list_images(test / "target"))
    return means(scored), [each.text for each in filters.values()]


def tuned(folder: Path) -> dict[str, SimpleFilter]:
    """Tune both filters on the training pairs, as quality control does."""
    items = [
        Item(each.name, each.source, folder / "target" / each.source.name, each.axes, each.shape)
        for each in service_side.items_of(folder / SOURCE)
    ]
    pairs = crops(items)
    stacks = "Z" in items[0].axes
    found = {
        kind: tune(kind, stacks, lambda each: mean_similarity(pairs, each))
        for kind in (GAUSSIAN, MEDIAN)
    }
    return {kind: each for kind, each in found.items() if each is not None}


def scores(folder: Path, name: str, filters: Mapping[str, SimpleFilter]) -> Figures:
    """Compare source, model and filters with the target of one test image."""
    source, model, target = (read(folder / part / name) for part in (SOURCE, MODEL, "target"))
    images = {SOURCE: source, MODEL: model}
    images |= {kind: each.apply(source) for kind, each in filters.items()}
    found = numbers(compare_images(target, images, (Profile.STANDARD,))[0], tuple(images))
    return {
        of: {each.value: found[headline_id(each, of)] or 0.0 for each in Metric} for of in images
    }


def residuals(folder: Path) -> Iterator[Figures]:
    """Say of each test image what the model took away from it."""
    for path in list_images(folder / SOURCE):
        found = measure_residual(read(path), read(folder / MODEL / path.name))[0].numbers
        yield {MODEL: {key: value for key, value in found.items() if value is not None}}


def means(found: Iterator[Figures]) -> Figures:
    """Average over images."""
    every = list(found)
    return {
        of: {
            key: round(statistics.fmean(each[of][key] for each in every), 4) for key in every[0][of]
        }
        for of in every[0]
    }


def panel(folder: Path) -> Panel:
    """Draw the first test image as quality control does."""
    name = list_images(folder / MODEL)[0].name
    source, prediction = (read(folder / part / name) for part in (SOURCE, MODEL))
    target = folder / "target" / name
    if target.exists():
        return restoration_panel(read(target), {SOURCE: source, PREDICTION: prediction})
    return residual_panel(source, prediction, measure_residual(source, prediction)[1])


def show(found: Figures) -> None:
    """Print the table."""
    for of, row in found.items():
        print(f"{of:10}", "  ".join(f"{key} {value:.4g}" for key, value in row.items()), flush=True)


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("network")
    options.add_argument("row")
    options.add_argument("data", type=Path)
    options.add_argument("parameters", nargs="*", metavar="NAME=VALUE")
    options.add_argument("--record", type=Path, default=RECORD)
    options.add_argument("--panel", type=Path, help="draw the first test image into this PNG")
    main(options.parse_args(sys.argv[1:]))
