# SPDX-License-Identifier: BSD-3-Clause
"""What a data check leaves, and when it is taken over instead of checking again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, List

import numpy as np
from data_folders import Folders, labelled

from dl4mic_sdk import data_check, dataset_reader
from dl4mic_sdk.data_check import DataSummary, check_data
from dl4mic_sdk.images import Image


def counted_reads(monkeypatch: Any) -> List[str]:
    reads: List[str] = []
    real = dataset_reader.inspect

    def counted(path: Path, axes: str) -> Any:
        reads.append(str(path))
        return real(path, axes)

    monkeypatch.setattr(dataset_reader, "inspect", counted)
    return reads


def test_an_earlier_result_is_taken_over_while_no_file_changes(
    folders: Folders, monkeypatch: Any
) -> None:
    reads = counted_reads(monkeypatch)
    first = folders.check()
    assert len(reads) == 8
    assert folders.check() == first and len(reads) == 8
    os.utime(str(folders.root / "masks" / "0.tif"), ns=(1, 1))
    folders.check()
    assert len(reads) == 16
    folders.request["parameters"]["patch_size"] = [32, 32]
    folders.check()
    assert len(reads) == 24
    folders.image(4, np.ones((64, 80), np.uint8))
    folders.mask(4, labelled())
    assert len(folders.check().items) == 5


def test_the_attempt_before_is_asked_too(folders: Folders, monkeypatch: Any) -> None:
    first = folders.check()
    reads = counted_reads(monkeypatch)
    (folders.root / "2").mkdir()
    folders.request["previous"] = str(folders.root / "1")
    assert check_data(folders.request, folders.root / "2") == first and not reads
    assert (folders.root / "2" / "data.json").exists()


def test_a_summary_survives_json(folders: Folders) -> None:
    summary = folders.check()
    assert DataSummary.from_record(json.loads(json.dumps(summary.as_record()))) == summary


def run_check(folders: Folders) -> subprocess.CompletedProcess[bytes]:
    attempt = folders.root / "1"
    (attempt / "request.json").write_text(json.dumps(folders.request))
    return subprocess.run(
        [sys.executable, "-m", "dl4mic_sdk.data_check", str(attempt)], check=False
    )


def test_as_a_command(folders: Folders) -> None:
    path = folders.mask(2, labelled().astype(np.float32))
    assert run_check(folders).returncode == data_check.EXIT_FAULT
    fault = json.loads((folders.root / "1" / "data_fault.json").read_text())
    assert set(fault) == {"code", "message", "hint", "files", "file_count"}
    assert fault["code"] == "INVALID_INPUT"
    assert fault["files"][0]["path"] == str(path) and fault["file_count"] == 1
    assert not (folders.root / "1" / "data.json").exists()
    folders.mask(2, labelled())
    assert run_check(folders).returncode == 0
    assert (folders.root / "1" / "data.json").exists()
    assert not (folders.root / "1" / "data_fault.json").exists()


def test_neither_scipy_nor_a_framework_is_loaded_for_good_data(folders: Folders) -> None:
    code = (
        "import json, sys; from pathlib import Path; from dl4mic_sdk.data_check import check_data;"
        "check_data(json.loads(sys.argv[1]));"
        "print([each for each in ('scipy', 'skimage', 'matplotlib', 'grpc') if each in sys.modules])"
    )
    command = [sys.executable, "-c", code, json.dumps(folders.request)]
    assert subprocess.check_output(command).strip() == b"[]"


def test_one_pair_is_held_at_a_time(folders: Folders, monkeypatch: Any) -> None:
    import weakref

    alive: List[Any] = []
    most: List[int] = []
    real = dataset_reader.read

    def watched(path: Path, axes: str = "") -> Image:
        image = real(path, axes)
        alive.append(weakref.ref(image.pixels))
        most.append(sum(each() is not None for each in alive))
        return image

    monkeypatch.setattr(dataset_reader, "read", watched)
    folders.check()
    assert len(most) == 8 and max(most) <= 2
