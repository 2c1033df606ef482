# SPDX-License-Identifier: BSD-3-Clause
"""BioImage.IO packages pass the validation and the test run of others, and come back as the same model."""

from __future__ import annotations

import json
import zipfile
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
    ("network", "axes", "options"),
    [
        ("care2d", "YX", {"unet_n_depth": 1, "probabilistic": True}),
        ("care2d", "YXC", {"n_channel_in": 2, "n_channel_out": 1}),
        ("care3d", "ZYX", {"unet_n_depth": 1}),
    ],
)
def test_a_package_is_valid_and_passes_its_test(
    tmp_path: Path, network: str, axes: str, options: dict[str, int]
) -> None:
    plain = untrained(tmp_path / "theirs", axes, unet_n_first=4, **options)
    model = make_import(tmp_path / "in", network, plain).run()
    peer.assert_valid_package(exported(tmp_path / "out", network, model))


def test_a_package_comes_back_as_the_same_model(tmp_path: Path) -> None:
    plain = untrained(tmp_path / "theirs", "YX", unet_n_first=4, probabilistic=True)
    given = {"percentile_low": 3.0, "percentile_high": 97.0}
    model = make_import(tmp_path / "in", "care2d", plain, given=given).run()
    package = exported(tmp_path / "out", "care2d", model)
    again = make_import(tmp_path / "again", "care2d", package).run()
    for name in ("weights_best.h5", "config.json"):
        assert (again.model / name).read_bytes() == (model.model / name).read_bytes()
    record = json.loads((again.model / "model.json").read_text())
    assert {name: record["parameters"][name] for name in given} == given
    assert record["origin"]["format"] == "bioimageio"
    assert again.events("warning") == []
    other = make_import(tmp_path / "o", "care2d", package, given={"percentile_low": 5.0}).run()
    assert [each["code"] for each in other.events("warning")] == ["PERCENTILES_OF_PACKAGE"]


def test_a_package_says_how_images_are_normalised(tmp_path: Path) -> None:
    plain = untrained(tmp_path / "theirs", "YX", unet_n_first=4)
    model = make_import(tmp_path / "in", "care2d", plain).run()
    with zipfile.ZipFile(exported(tmp_path / "out", "care2d", model)) as packed:
        record = yaml.safe_load(packed.read("rdf.yaml"))
        assert b"percentiles 2 and 99.8" in packed.read("README.md")
    (step,) = record["inputs"][0]["preprocessing"]
    assert step["kwargs"] == {"axes": ["y", "x"], "min_percentile": 2.0, "max_percentile": 99.8}
    assert record["outputs"][0]["axes"][1]["halo"] == 48  # two levels, kernels of 5: 43, in eights


def test_a_package_of_another_network_is_refused(tmp_path: Path) -> None:
    (tmp_path / "package").mkdir()
    record = {"name": "nuclei", "config": {"another": {"config": {"n_dim": 2}}}}
    (tmp_path / "package" / "rdf.yaml").write_text(yaml.safe_dump(record))
    with pytest.raises(ModelError, match="'nuclei' holds no model of CARE"):
        make_import(tmp_path / "in", "care2d", tmp_path / "package").run()
