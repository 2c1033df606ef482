# SPDX-License-Identifier: BSD-3-Clause
"""Folders of thousands of small files through the fake network, in a worker of their own, killed and continued."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Dict, List

import numpy as np
import pytest

from dl4mic_sdk.events import read_events
from dl4mic_sdk.images import Image, write

ROOT = Path(__file__).resolve().parents[3]
BLUR = ROOT / "tests" / "fakes" / "blur"
MANY, FEW = 2000, 200
MEASURE = """
import sys
from dl4mic_sdk.worker import main
status = main(sys.argv[1:2])
with open("/proc/self/status") as file:
    print(next(line for line in file if line.startswith("VmHWM")).split()[1])
sys.stdout.flush()
sys.exit(status)
"""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of many and one of few images of 64 x 64 pixels, and a model."""
    place = tmp_path_factory.mktemp("many")
    (place / "model").mkdir()
    (place / "model" / "model.json").write_text(json.dumps({"network": "blur"}))
    (place / "model" / "weights_best.json").write_text('{"threshold": 0.5, "sigma": 1.0}')
    rng = np.random.default_rng(0)
    for name, count in (("many", MANY), ("few", FEW)):
        (place / name).mkdir()
        for number in range(count):
            pixels = rng.integers(0, 255, (64, 64)).astype(np.uint8)
            write(place / name / "{}.tif".format(number), Image(pixels, "YX"))
    return place


def attempt(place: Path, source: str, number: int = 1, job: str = "job", **given: Any) -> Path:
    """Make the folder of an attempt, as the host does."""
    folder = place / (job + source) / str(number)
    (folder / "artifacts").mkdir(parents=True)
    parameters = {"smallest_object": 1, "step_seconds": 0, "fault": "none", "channel": None}
    manifest = {"axes": ["YX", "ZYX"], "supervision": "label_images", "outputs": {}}
    request = {
        "job_id": "job", "attempt": number, "verb": "predict", "network": "blur",
        "service_folder": str(BLUR), "service_version": "0", "title": "", "project": "default",
        "preset": "default", "parameters": dict(parameters, **given), "given": [],
        "data": {"supervision": "none", "source": str(place / source), "target": "", "axes": ""},
        "validation": None, "model_name": "", "parent": None, "prediction": None,
        "models": [{"name": "spots", "folder": str(place / "model"), "weights": "best"}],
        "device": "cpu", "manifest": manifest,
        "previous": str(folder.with_name(str(number - 1))) if number > 1 else None,
    }  # fmt: skip
    (folder / "request.json").write_text(json.dumps(request))
    return folder


def start(folder: Path) -> Any:
    """Start a worker, which says its peak memory in KiB when it is done."""
    command = [sys.executable, "-c", MEASURE, str(folder)]
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(each for each in sys.path if each))
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )


def peak_of(process: Any) -> int:
    said, _ = process.communicate()
    assert process.returncode == 0
    return int(said.split()[-1])


def results(folder: Path) -> Dict[str, int]:
    """Name -> inode of the label images: the same file if it was taken over."""
    return {each.name: each.stat().st_ino for each in predictions(folder).glob("*.tif")}


def predictions(folder: Path) -> Path:
    return folder / "artifacts" / "predictions"


def events_of(folder: Path, kind: str) -> List[Dict[str, Any]]:
    return [event[kind] for _, event in read_events(folder) if kind in event]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
def test_memory_does_not_grow_with_the_number_of_files(folders: Path) -> None:
    few, many = attempt(folders, "few"), attempt(folders, "many")
    before, after = peak_of(start(few)), peak_of(start(many))
    assert len(results(many)) == MANY
    # What is known of each file is some 4 KiB; one image more in memory than there must be would be as much again.
    assert after - before < 6 * (MANY - FEW)
    assert len(events_of(many, "progress")) <= 1100
    assert events_of(many, "progress")[-1]["done"] == MANY


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_what_is_finished_is_not_done_again(folders: Path, how: signal.Signals) -> None:
    first = attempt(folders, "many", 1, how.name)
    process = start(first)
    note = predictions(first) / ".finished"
    deadline = time.monotonic() + 120
    while not note.exists() or note.read_text().count("\n") < MANY // 10:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(how)
    process.communicate()
    finished = {json.loads(line)["name"] + ".tif" for line in note.read_text().split("\n")[:-1]}
    assert MANY // 10 <= len(finished) < MANY
    kept = {name: inode for name, inode in results(first).items() if name in finished}

    second = attempt(folders, "many", 2, how.name)
    peak_of(start(second))
    after = results(second)
    assert len(after) == MANY and len(kept) == len(finished)
    assert {name: after[name] for name in kept} == kept
    assert events_of(second, "progress")[0]["done"] == len(finished)
    assert not list(predictions(second).glob(".*"))
