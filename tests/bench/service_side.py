# SPDX-License-Identifier: BSD-3-Clause
"""What the benchmarks share that run in a service's own environment: requests, contexts, interleaved pairs."""

from __future__ import annotations

import importlib.util
import json
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "services" / "_sdk"), str(ROOT / "proto")]

from dl4mic.manifest import Service, read_service  # noqa: E402
from dl4mic_sdk import worker  # noqa: E402
from dl4mic_sdk.context import Context  # noqa: E402
from dl4mic_sdk.data_check import check_data  # noqa: E402
from dl4mic_sdk.device import Device  # noqa: E402
from dl4mic_sdk.events import EventWriter  # noqa: E402
from dl4mic_sdk.images import list_images, read  # noqa: E402
from dl4mic_sdk.network import Network  # noqa: E402
from dl4mic_sdk.pairs import Item  # noqa: E402
from dl4mic_sdk.split import split_by_parameters  # noqa: E402
from dl4mic_sdk.task import TrainTask  # noqa: E402

PAIRS = 5


@dataclass(frozen=True)
class Measured:
    """Wall and CPU seconds of one run."""

    wall: float
    cpu: float


def service_of(network: str) -> Service:
    """Find the service folder that declares a network."""
    for manifest in sorted(ROOT.glob("services/*/service.yaml")):
        service = read_service(manifest.parent)
        if network in service.networks:
            return service
    raise SystemExit(f"no service declares {network!r}")


def example_of(network: str) -> Path:
    """Folder of a network's example data."""
    return service_of(network).folder / "example" / network


def training_folders(network: str) -> tuple[Path, Path | None]:
    """Folders of the images that an example trains on, and of their targets where the network learns from any."""
    folder = example_of(network) / "train"
    target = folder / "target"
    return (folder / "source", target) if target.exists() else (folder, None)


def bare_library(network: str) -> Any:
    """Import `tests/bare_library.py` of the network's service."""
    path = service_of(network).folder / "tests" / "bare_library.py"
    if not path.exists():
        raise SystemExit(f"{path} is missing: there is nothing to compare {network} with")
    sys.path.insert(0, str(path.parents[1]))
    spec = importlib.util.spec_from_file_location("bare_library", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def parameters(network: str, verb: str, preset: str = "quick", **given: Any) -> dict[str, Any]:
    """Complete parameters of a verb: defaults, those of a preset and what is given."""
    record = service_of(network).records[network]
    known = {
        name: each.get("default")
        for name, each in record["parameters"].items()
        if verb in each["verbs"]
    }
    chosen = (record["presets"].get(preset) or {}).get("parameters") or {}
    return {**known, **{name: value for name, value in chosen.items() if name in known}, **given}


def open_network(network: str, chosen: Mapping[str, Any]) -> Network:
    """Import a network as the worker does."""
    folder = str(service_of(network).folder)
    request = {"service_folder": folder, "network": network, "parameters": chosen}
    return worker.open_network(request)


def context(folder: Path) -> Context:
    """Make the context of a first attempt in an empty folder."""
    attempt = folder / "1"
    (attempt / "artifacts" / "model").mkdir(parents=True)
    return Context(attempt, EventWriter(attempt), Device("cpu", "benchmark"))


def train_task(
    network: str, source: Path, target: Path | None, chosen: Mapping[str, Any], ctx: Context
) -> TrainTask:
    """Check the data and make the task, as the worker does."""
    record = service_of(network).records[network]
    data = {
        "supervision": record["supervision"],
        "source": str(source),
        "target": str(target or ""),
        "axes": "",
        "class_names": [],
    }
    request = {
        "verb": "train",
        "network": network,
        "data": data,
        "validation": None,
        "parameters": chosen,
        "manifest": record,
        "previous": None,
    }
    summary = check_data(request)
    training, validation, split = split_by_parameters(summary.items, chosen)
    model = ctx.artifacts / "model"
    return TrainTask(network, chosen, training, validation, model, None, 0, summary, split)


def interleaved(
    one: Callable[[], Measured], other: Callable[[], Measured], pairs: int = PAIRS
) -> dict[str, float]:
    """Run two things in turns after one warm-up each; return medians in ms, and the ratios within the pairs."""
    one(), other()
    runs = [(one(), other()) for _ in range(pairs)]
    ours = [first for first, _ in runs]
    theirs = [second for _, second in runs]
    return {
        "ours_wall_ms": 1e3 * _median([each.wall for each in ours]),
        "bare_wall_ms": 1e3 * _median([each.wall for each in theirs]),
        "ours_cpu_ms": 1e3 * _median([each.cpu for each in ours]),
        "bare_cpu_ms": 1e3 * _median([each.cpu for each in theirs]),
        "wall_ratio": _median([first.wall / second.wall for first, second in runs]),
        "cpu_ratio": _median([first.cpu / second.cpu for first, second in runs]),
    }


def varied(pixels: np.ndarray, number: int, side: int) -> np.ndarray:
    """Mirror an image to `side` pixels along Y and X and shift it, so that many different ones come of it."""
    missing = [(0, max(0, side - size)) for size in pixels.shape[-2:]]
    wide = np.pad(pixels, [(0, 0)] * (pixels.ndim - 2) + missing, "symmetric")
    shifted: np.ndarray = np.roll(wide, (37 * number, 53 * number), axis=(-2, -1))
    return np.ascontiguousarray(shifted[..., :side, :side])


def items_of(folder: Path) -> list[Item]:
    """Make what a prediction of a folder is asked for."""
    images = [(path, read(path)) for path in list_images(folder)]
    return [Item(path.stem, path, None, each.axes, each.pixels.shape) for path, each in images]


def _median(values: Sequence[float]) -> float:
    return statistics.median(values)


def report(results: Mapping[str, float]) -> None:
    """Print results as one line of JSON, the last one of the output."""
    print(json.dumps({name: round(value, 4) for name, value in results.items()}), flush=True)
