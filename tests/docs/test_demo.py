# SPDX-License-Identifier: BSD-3-Clause
"""The demonstration, as a newcomer runs it: trained there and then, scored on pixels it never saw."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from pages import blocks
from servers import ENVIRONMENTS

from demo import network_of_the_readme

LEAST_F1 = 0.70
"""At IoU 0.5, over all test objects: what a rightly wired network reaches with ease and a wrongly wired one misses."""


@pytest.fixture(scope="module")
def demonstration(tmp_path_factory: pytest.TempPathFactory, copy_of_tree: Path) -> tuple[Path, str]:
    """The folder of a demonstration that has run, and what it said."""
    workspace = tmp_path_factory.mktemp("workspace")
    ENVIRONMENTS.mkdir(parents=True, exist_ok=True)
    (workspace / "environments").symlink_to(ENVIRONMENTS)
    script = str(copy_of_tree / "tests" / "demo.py")
    done = subprocess.run(
        [sys.executable, script, network_of_the_readme()],
        env={**os.environ, "DL4MIC_WORKSPACE": str(workspace)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout
    return copy_of_tree / "demo", done.stdout


@pytest.mark.timeout(900)
def test_the_score_is_earned(demonstration: tuple[Path, str]) -> None:
    scores = json.loads((demonstration[0] / "qc" / "qc.json").read_text())
    assert scores["pooled"]["instance.f1@0.5/1"] >= LEAST_F1
    assert scores["pooled"]["instance.n_true/1"] >= 20


def test_it_says_what_lies_where_and_what_to_try_next(demonstration: tuple[Path, str]) -> None:
    said = demonstration[1]
    commands = blocks("README.md", "bash")[0].splitlines()
    assert [line[2:] for line in said.splitlines() if line.startswith("$ ")] == commands
    assert "demo/qc/report.pdf" in said and "demo/predictions" in said
    assert (
        sum(
            line.startswith("  dl4mic ")
            for line in said[said.index("Done. Look at") :].splitlines()
        )
        == 3
    )


def test_every_image_has_labels_a_table_and_regions(demonstration: tuple[Path, str]) -> None:
    predictions = demonstration[0] / "predictions"
    images = sorted(predictions.glob("*.tif"))
    assert images
    for image in images:
        labels = tifffile.imread(image)
        assert np.issubdtype(labels.dtype, np.integer) and labels.max() > 0
        assert image.with_name(image.stem + "_objects.csv").exists()
        assert image.with_name(image.stem + "_rois.zip").exists()
