# SPDX-License-Identifier: BSD-3-Clause
"""BioImage.IO packages: ours pass the validation of others, and theirs predict here what they predict there."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any, Callable

import peer
import pytest
import yaml
from jobs import Job, make_export, make_import, reference
from plain_models import untrained_2d, untrained_3d

from dl4mic_sdk.errors import ModelError

Change = Callable[[dict[str, Any]], object]


def exported(folder: Path, network: str, plain: Path) -> Job:
    model = make_import(folder / "in", network, plain).run()
    return make_export(folder / "out", network, reference(model), "bioimageio").run()


def record_of(package: Path) -> dict[str, Any]:
    with zipfile.ZipFile(package) as packed:
        record = yaml.safe_load(packed.read("rdf.yaml"))
    assert isinstance(record, dict)
    return record


@pytest.mark.parametrize(
    ("network", "make_plain"), [("stardist2d", untrained_2d), ("stardist3d", untrained_3d)]
)
def test_a_package_of_ours_is_valid_and_passes_its_test(
    tmp_path: Path, network: str, make_plain: Callable[[Path], Path]
) -> None:
    job = exported(tmp_path, network, make_plain(tmp_path / "plain"))
    assert job.exported.name == "example-1-bioimageio.zip"
    peer.assert_valid_package(job.exported)


def test_a_package_of_ours_comes_back_as_the_same_model(tmp_path: Path) -> None:
    plain = untrained_2d(tmp_path / "plain")
    given = {"percentile_low": 3.0, "percentile_high": 97.0}
    model = make_import(tmp_path / "in", "stardist2d", plain, given=given).run()
    out = make_export(tmp_path / "out", "stardist2d", reference(model), "bioimageio").run()
    again = make_import(tmp_path / "again", "stardist2d", out.exported).run()
    for name in ("weights_best.h5", "config.json", "thresholds.json"):
        assert (again.model / name).read_bytes() == (model.model / name).read_bytes()
    record = json.loads((again.model / "model.json").read_text())
    assert {name: record["parameters"][name] for name in given} == given
    assert record["origin"]["format"] == "bioimageio"
    assert (
        "Weigert" in record["citations"][0]["text"] or "Schmidt" in record["citations"][0]["text"]
    )


def packaged_by_the_library(plain: Path, folder: Path, change: Change | None = None) -> Path:
    """Make a package as the library's own exporter lays it out (format 0.4)."""
    folder.mkdir()
    shutil.copyfile(plain / "weights_best.h5", folder / "stardist_weights.h5")
    kwargs = {"mode": "per_sample", "axes": "xy", "min_percentile": 2.0, "max_percentile": 99.0}
    record = {
        "format_version": "0.4.9",
        "type": "model",
        "name": "Found in the zoo",
        "license": "BSD-3-Clause",
        "authors": [{"name": "A. Author"}],
        "cite": [{"text": "A paper", "doi": "10.1000/1"}],
        "inputs": [{"name": "input", "preprocessing": [{"name": "scale_range", "kwargs": kwargs}]}],
        "attachments": {"files": ["stardist_weights.h5"]},
        "config": {
            "stardist": {
                "python_version": "0.8.3",
                "thresholds": {"prob": 0.6, "nms": 0.3},
                "weights": "stardist_weights.h5",
                "config": json.loads((plain / "config.json").read_text()),
            }
        },
    }
    if change is not None:
        change(record)
    (folder / "rdf.yaml").write_text(yaml.safe_dump(record))
    return Path(shutil.make_archive(str(folder), "zip", folder))


def test_a_package_of_the_library_comes_in_with_what_it_states(tmp_path: Path) -> None:
    package = packaged_by_the_library(untrained_2d(tmp_path / "plain"), tmp_path / "package")
    job = make_import(tmp_path / "in", "stardist2d", package).run()
    record = json.loads((job.model / "model.json").read_text())
    assert (record["licence"], record["authors"]) == ("BSD-3-Clause", ["A. Author"])
    assert record["citations"] == [{"text": "A paper", "doi": "10.1000/1"}]
    assert record["title"] == "Found in the zoo"
    assert record["parameters"]["percentile_low"] == 2.0
    assert json.loads((job.model / "thresholds.json").read_text()) == {"prob": 0.6, "nms": 0.3}


def test_percentiles_that_the_package_overrules_are_warned_of(tmp_path: Path) -> None:
    package = packaged_by_the_library(untrained_2d(tmp_path / "plain"), tmp_path / "package")
    job = make_import(tmp_path / "in", "stardist2d", package, given={"percentile_low": 5.0}).run()
    assert [each["code"] for each in job.events("warning")] == ["PERCENTILES_OF_PACKAGE"]


def of_other_software(record: dict[str, Any]) -> None:
    record["config"] = {"deepimagej": {}}


def without_weights(record: dict[str, Any]) -> None:
    record["config"]["stardist"]["weights"] = "other.h5"


def with_weights_elsewhere(record: dict[str, Any]) -> None:
    record["config"]["stardist"]["weights"] = "../../etc/passwd"


def with_other_content(record: dict[str, Any]) -> None:
    record["attachments"] = [{"source": "stardist_weights.h5", "sha256": "0" * 64}]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (of_other_software, "holds no model of StarDist"),
        (without_weights, r"lacks its weights 'other\.h5'"),
        (with_weights_elsewhere, "lacks its weights"),
        (with_other_content, r"stardist_weights\.h5 is not what the package says"),
    ],
)
def test_a_package_that_cannot_be_used_says_why(tmp_path: Path, change: Change, said: str) -> None:
    package = packaged_by_the_library(untrained_2d(tmp_path / "p"), tmp_path / "package", change)
    with pytest.raises(ModelError, match=said) as caught:
        make_import(tmp_path / "in", "stardist2d", package).run()
    assert caught.value.hint


@pytest.mark.parametrize("text", ["a: [", "- 1", "!!python/object/apply:os.getcwd []"])
def test_a_description_that_is_none_is_refused_and_runs_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "rdf.yaml").write_text(text)
    with pytest.raises(ModelError, match=r"rdf\.yaml cannot be read"):
        make_import(tmp_path / "in", "stardist2d", tmp_path / "package").run()
