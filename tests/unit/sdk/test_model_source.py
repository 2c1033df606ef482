# SPDX-License-Identifier: BSD-3-Clause
"""What other people bring is told by its files, wherever in the folder or archive they begin, and stays in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict

import pytest

from dl4mic_sdk import archive
from dl4mic_sdk.errors import ModelError
from dl4mic_sdk.model_source import check_source, digest_of, opened

FORMATS = {
    "package": {"imported": True, "holds": ["rdf.yaml|package.yaml"]},
    "plain": {"imported": True, "exported": True, "holds": ["config.json", "weights_*.h5|*.hdf5"]},
    "bundle": {"exported": True},
}


def request(source: Path, format: str = "") -> Dict[str, Any]:
    return {
        "network": "mine",
        "source": str(source),
        "format": format,
        "manifest": {"formats": FORMATS},
    }


def folder(path: Path, *names: str) -> Path:
    for name in names:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(name)
    return path


@pytest.mark.parametrize(
    ("names", "format"),
    [
        (["model.json", "config.json", "weights_best.h5"], "dl4mic"),
        (["config.json", "weights_last.h5", "Quality Control/a.csv"], "plain"),
        (["config.json", "old.hdf5"], "plain"),
        (["package.yaml", "config.json", "weights_best.h5"], "package"),
    ],
)
def test_a_format_is_known_by_its_files(tmp_path, names, format):
    made = folder(tmp_path / "made", *names)
    assert check_source(request(made)) == format
    assert (
        check_source(request(folder(tmp_path / "outer", *["in/" + each for each in names])))
        == format
    )
    files = [(made / each, "a/b/" + each) for each in names] + [(made / names[0], "__MACOSX/x")]
    archive.pack(files, tmp_path / "m.zip")
    assert check_source(request(tmp_path / "m.zip")) == format
    with opened(tmp_path / "m.zip", tmp_path / "work") as inside:
        assert (inside / names[0]).read_text() == names[0]
    assert not (tmp_path / "work").exists()


def test_an_unknown_format_is_refused_with_what_would_be_known(tmp_path):
    with pytest.raises(
        ModelError, match=r"no format that mine imports \(dl4mic, package, plain\)"
    ) as caught:
        check_source(request(folder(tmp_path / "m", "weights.pth")))
    assert "package: rdf.yaml or package.yaml" in caught.value.hint


def test_a_format_that_is_asked_for_must_be_there(tmp_path):
    made = folder(tmp_path / "m", "config.json", "weights.pth")
    with pytest.raises(
        ModelError, match=r"plain holds weights_\*\.h5 or \*\.hdf5, which is not there"
    ):
        check_source(request(made, "plain"))


def test_a_source_that_is_gone(tmp_path):
    with pytest.raises(ModelError, match="no such file or folder any more"):
        check_source(request(tmp_path / "gone"))


def test_an_empty_folder_is_no_model(tmp_path):
    (tmp_path / "m").mkdir()
    with pytest.raises(ModelError, match="no format"):
        check_source(request(tmp_path / "m"))


def test_a_link_out_of_the_folder_is_refused(tmp_path):
    made = folder(tmp_path / "m", "config.json")
    (tmp_path / "secret").write_text("x")
    (made / "weights_best.h5").symlink_to(tmp_path / "secret")
    with pytest.raises(ModelError, match=r"link weights_best\.h5 leads out"):
        check_source(request(made))


def test_the_digest_is_of_names_and_contents(tmp_path):
    digests = {
        digest_of(folder(tmp_path / "a", "x", "y")),
        digest_of(folder(tmp_path / "b", "x", "y")),
    }
    (tmp_path / "b" / "y").write_text("z")
    assert len(digests) == 1 and digest_of(tmp_path / "b") not in digests
