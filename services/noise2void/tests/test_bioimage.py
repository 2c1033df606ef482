# SPDX-License-Identifier: BSD-3-Clause
"""BioImage.IO packages pass the validation and the test run of others, and come back as the same model."""

from __future__ import annotations

import json
from pathlib import Path

import peer
import pytest
import yaml
from jobs import Job, make_export, make_import, reference
from plain_models import untrained

from dl4mic_sdk.errors import ModelError


def exported(folder: Path, network: str, model: Job) -> Path:
    return make_export(folder, network, reference(model), "bioimageio").run().exported


@pytest.mark.parametrize(
    ("network", "shape"), [("n2v2d", (1, 16, 16, 2)), ("n2v3d", (1, 8, 8, 8, 1))]
)
def test_a_package_is_valid_and_passes_its_test(
    tmp_path: Path, network: str, shape: tuple[int, ...]
) -> None:
    plain = untrained(tmp_path / "plain", shape, single_net_per_channel=False)
    model = make_import(tmp_path / "in", network, plain).run()
    peer.assert_valid_package(exported(tmp_path / "out", network, model))


def test_a_package_comes_back_as_the_same_model(trained: Job, tmp_path: Path) -> None:
    package = exported(tmp_path / "out", "n2v2d", trained)
    again = make_import(tmp_path / "again", "n2v2d", package).run()
    best = (again.model / "weights_best.h5").read_bytes()
    assert best == (trained.model / "weights_best.h5").read_bytes()
    ours, theirs = (
        json.loads((each.model / "config.json").read_text()) for each in (trained, again)
    )
    assert ours == theirs
    record = json.loads((again.model / "model.json").read_text())
    assert (record["origin"]["format"], record["axes"]) == ("bioimageio", ["YX"])


def test_a_package_of_the_library_itself_is_refused(tmp_path: Path) -> None:
    (tmp_path / "package").mkdir()
    record = {"name": "denoiser", "config": {}, "attachments": {"files": ["tf_model.zip"]}}
    (tmp_path / "package" / "rdf.yaml").write_text(yaml.safe_dump(record))
    with pytest.raises(ModelError, match="'denoiser' holds no model of Noise2Void"):
        make_import(tmp_path / "in", "n2v2d", tmp_path / "package").run()
