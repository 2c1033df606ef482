# SPDX-License-Identifier: BSD-3-Clause
"""Quality control of all weights of a model: each is loaded in its turn, in one process."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import h5py
from jobs import Job, declared_for, left_by, scored

F1 = "instance.f1@0.5/1"


def test_weights_that_learned_nothing_rank_last(trained: Job, tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(trained.model, model)
    shutil.copy(model / "weights_best.h5", model / "weights_epoch_00001.h5")
    forget(model / "weights_epoch_00001.h5")
    record = json.loads((model / "model.json").read_text())
    (model / "model.json").write_text(json.dumps({**record, "weights": ["1", "best"]}))
    asked = {"name": "example:1", "folder": str(model), "weights": "all"}
    job = scored(tmp_path, trained, models=[asked])
    found = json.loads((job.folder / "artifacts" / "qc.json").read_text())
    assert [each["weights"] for each in found["models"]] == ["best", "1"]
    best, last = (each["pooled"][F1] for each in found["models"])
    assert best >= 0.7 > 0.1 > last
    assert (job.predictions / "example-1-best" / "nuclei.tif").exists()
    for each in (trained, job):
        assert left_by(each) == declared_for(each)


def forget(weights: Path) -> None:
    """Set all weights of a file to 0."""

    def clear(_: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            item[...] = 0

    with h5py.File(weights, "r+") as file:
        file.visititems(clear)
