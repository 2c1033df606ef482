# SPDX-License-Identifier: BSD-3-Clause
"""No archive is trusted: what leads out, lies about its size or is no archive is refused, and nothing is left of it."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

import pytest

from dl4mic_sdk import archive
from dl4mic_sdk.errors import ModelError


def made(path: Path, *names: str, mode: int = 0o644) -> Path:
    with zipfile.ZipFile(str(path), "w") as packed:
        for name in names:
            entry = zipfile.ZipInfo(name)
            entry.external_attr = mode << 16
            packed.writestr(entry, "x")
    return path


def refused(path: Path, tmp_path: Path, said: str) -> None:
    for attempt in (
        lambda: archive.check_archive(path),
        lambda: archive.unpack(path, tmp_path / "in"),
    ):
        with pytest.raises(ModelError, match=said) as caught:
            attempt()
        assert caught.value.hint
    assert not (tmp_path / "out").exists()


def test_a_folder_comes_back_as_it_was(tmp_path):
    (tmp_path / "a").write_bytes(bytes(range(256)))
    archive.pack([(tmp_path / "a", "model/a"), (tmp_path / "a", "b")], tmp_path / "m.zip")
    assert archive.check_archive(tmp_path / "m.zip") == ["model/a", "b"]
    archive.unpack(tmp_path / "m.zip", tmp_path / "in")
    assert (tmp_path / "in" / "model" / "a").read_bytes() == bytes(range(256))


def test_names_may_begin_with_the_folder_itself(tmp_path):
    path = made(tmp_path / "m.zip", "./", "./model/", "./model/a", "b")
    assert archive.check_archive(path) == ["model/a", "b"]
    archive.unpack(path, tmp_path / "in")
    assert (tmp_path / "in" / "model" / "a").read_text() == (tmp_path / "in" / "b").read_text()


@pytest.mark.parametrize("name", [".", ""])
def test_an_entry_without_a_name_is_refused(tmp_path, name):
    refused(made(tmp_path / "m.zip", name), tmp_path, "names no file")


@pytest.mark.parametrize("name", ["../out", "/out", "a/../../out", "a\\..\\out", "c:/out"])
def test_paths_that_lead_out_are_refused(tmp_path, name):
    refused(made(tmp_path / "m.zip", name), tmp_path, "leads out")


def test_a_link_is_refused(tmp_path):
    refused(made(tmp_path / "m.zip", "link", mode=0o120777), tmp_path, "is a link")


def test_a_file_below_a_file_is_refused(tmp_path):
    refused(made(tmp_path / "m.zip", "a", "a/b"), tmp_path, "below another file")


def test_too_many_files_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "MOST_FILES", 2)
    refused(made(tmp_path / "m.zip", "a", "b", "c"), tmp_path, "holds 3 files; at most 2")


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "_TRUSTED_BYTES", 1000)
    with zipfile.ZipFile(str(tmp_path / "m.zip"), "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("weights_best.h5", bytes(10_000_000))
    refused(tmp_path / "m.zip", tmp_path, "would grow to 9 MiB")
    assert not (tmp_path / "in").exists()


def test_a_file_that_is_longer_than_said_is_refused(tmp_path):
    """The list of the archive claims ten bytes, the file itself holds a thousand."""
    path = tmp_path / "m.zip"
    with zipfile.ZipFile(str(path), "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("a", bytes(1000))
    content = path.read_bytes()
    path.write_bytes(content.replace(struct.pack("<L", 1000), struct.pack("<L", 10)))
    with pytest.raises(ModelError, match="no sound ZIP"):
        archive.unpack(path, tmp_path / "in")


@pytest.mark.parametrize("content", [b"", b"x", b"PK\x03\x04" + bytes(100)])
def test_what_is_no_archive_is_refused(tmp_path, content):
    (tmp_path / "m.zip").write_bytes(content)
    refused(tmp_path / "m.zip", tmp_path, "no sound ZIP")


def test_a_truncated_archive_is_refused(tmp_path):
    (tmp_path / "a").write_bytes(bytes(5000))
    archive.pack([(tmp_path / "a", "a")], tmp_path / "m.zip")
    (tmp_path / "m.zip").write_bytes((tmp_path / "m.zip").read_bytes()[:3000])
    refused(tmp_path / "m.zip", tmp_path, "no sound ZIP")


def test_damage_inside_is_seen(tmp_path):
    (tmp_path / "a").write_bytes(b"weights" * 100)
    archive.pack([(tmp_path / "a", "a")], tmp_path / "m.zip")
    content = (tmp_path / "m.zip").read_bytes()
    (tmp_path / "m.zip").write_bytes(content.replace(b"weights", b"wEights", 1))
    with pytest.raises(ModelError, match="no sound ZIP"):
        archive.unpack(tmp_path / "m.zip", tmp_path / "in")
