# SPDX-License-Identifier: BSD-3-Clause
"""Files to a server elsewhere and back."""

from __future__ import annotations

from pathlib import Path

import pytest
from scripted_server import ScriptedServer

import dl4mic_client


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    images = tmp_path / "My Images"
    (images / "deep").mkdir(parents=True)
    (images / "a.tif").write_bytes(b"a" * 3_000_000)
    (images / "deep" / "b.tif").write_bytes(b"b" * 10)
    (images / ".hidden").write_bytes(b"no")
    return images


def test_folders_are_sent_to_a_server_elsewhere(
    far_client: dl4mic_client.Client, server: ScriptedServer, folder: Path
) -> None:
    seen: list[int] = []
    far_client.report = lambda transfer: seen.append(transfer.done_bytes)
    job = far_client.train("mock", source=folder, target=folder, model="n")
    source = server.requests[0].data.source
    assert source.startswith("uploads:my-images-")
    assert source == server.requests[0].data.target
    assert sorted(server.files) == [f"{source}/a.tif", f"{source}/deep/b.tif"]
    assert server.files[f"{source}/a.tif"] == b"a" * 3_000_000
    assert seen[-1] == 3_000_010
    assert job.state == "PENDING"


def test_what_is_there_is_not_sent_again(
    far_client: dl4mic_client.Client, server: ScriptedServer, folder: Path
) -> None:
    first = far_client.push(folder)
    assert far_client.push(folder) == first
    assert len(server.uploads) == 2
    (folder / "deep" / "b.tif").write_bytes(b"c" * 10)
    assert far_client.push(folder) != first


def test_a_changed_file_under_a_given_name_is_sent_again(
    far_client: dl4mic_client.Client, server: ScriptedServer, folder: Path
) -> None:
    assert far_client.push(folder, "plate") == "uploads:plate"
    (folder / "deep" / "b.tif").write_bytes(b"c" * 10)
    far_client.push(folder, "plate")
    assert server.files["uploads:plate/deep/b.tif"] == b"c" * 10
    assert len(server.uploads) == 3


def test_an_upload_that_was_cut_goes_on_where_it_was(
    far_client: dl4mic_client.Client, server: ScriptedServer, folder: Path
) -> None:
    server.unfinished["uploads:plate/a.tif"] = b"a" * 1_000_000
    far_client.push(folder, "plate")
    assert server.uploads[0].offset == 1_000_000
    assert server.files["uploads:plate/a.tif"] == b"a" * 3_000_000


def test_a_push_outlasts_cuts_and_sends_no_byte_twice(
    far_client: dl4mic_client.Client, server: ScriptedServer, folder: Path
) -> None:
    server.put_cuts = [1, 1]
    seen: list[int] = []
    far_client.report = lambda transfer: seen.append(transfer.done_bytes)
    far_client.push(folder, "plate")
    assert [each.offset for each in server.uploads] == [0, 1 << 20, 2 << 20, 0]
    assert server.files["uploads:plate/a.tif"] == b"a" * 3_000_000
    assert seen[-1] == max(seen) == 3_000_010


def test_remains_of_another_file_are_sent_anew(
    far_client: dl4mic_client.Client, server: ScriptedServer, folder: Path
) -> None:
    server.unfinished["uploads:plate/a.tif"] = b"a" * 4_000_000
    far_client.push(folder, "plate")
    assert server.uploads[0].offset == 0
    assert server.files["uploads:plate/a.tif"] == b"a" * 3_000_000


def test_a_single_file_is_sent_as_one(
    far_client: dl4mic_client.Client, server: ScriptedServer, folder: Path
) -> None:
    location = far_client.push(folder / "deep" / "b.tif")
    assert location.endswith("/b.tif")
    assert server.files == {location: b"b" * 10}


def test_an_empty_folder_is_refused(far_client: dl4mic_client.Client, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(dl4mic_client.Refused, match="holds no files"):
        far_client.push(tmp_path / "empty")


def test_results_come_back_as_they_are(
    far_client: dl4mic_client.Client, server: ScriptedServer, tmp_path: Path
) -> None:
    server.files = {
        "job:a1/qc.json": b"{}",
        "job:a1/predictions/a.tif": b"labels of a",
        "job:a1/predictions/deep/b.tif": b"labels of b",
    }
    written = far_client.pull("job:a1/predictions", tmp_path / "out")
    assert sorted(written) == [tmp_path / "out" / "a.tif", tmp_path / "out" / "deep" / "b.tif"]
    assert (tmp_path / "out" / "deep" / "b.tif").read_bytes() == b"labels of b"
    assert [p.name for p in far_client.pull("job:a1/qc.json", tmp_path)] == ["qc.json"]


def test_a_download_that_was_cut_goes_on_where_it_was(
    far_client: dl4mic_client.Client, server: ScriptedServer, tmp_path: Path
) -> None:
    server.files = {"job:a1/a.tif": b"0123456789"}
    server.cuts = [2, 0]
    (path,) = far_client.pull("job:a1/", tmp_path)
    assert path.read_bytes() == b"0123456789"


def test_a_damaged_file_is_not_kept(
    far_client: dl4mic_client.Client, server: ScriptedServer, tmp_path: Path
) -> None:
    server.files = {"job:a1/a.tif": b"0123456789"}
    server.damage = True
    with pytest.raises(dl4mic_client.TransferFault, match=r"a\.tif did not arrive whole"):
        far_client.pull("job:a1/", tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("name", ["../evil.tif", "deep/../../evil.tif", "c:\\evil.tif"])
def test_no_server_writes_outside_the_folder(
    far_client: dl4mic_client.Client, server: ScriptedServer, tmp_path: Path, name: str
) -> None:
    server.files = {f"job:a1/{name}": b"evil"}
    with pytest.raises(dl4mic_client.TransferFault, match="outside"):
        far_client.pull("job:a1/", tmp_path / "out")
    assert not list(tmp_path.rglob("*evil*"))


def test_nothing_there_is_said(far_client: dl4mic_client.Client, tmp_path: Path) -> None:
    with pytest.raises(dl4mic_client.NotFound, match="job:a1/"):
        far_client.pull("job:a1/", tmp_path)
    assert far_client.list_data("uploads:") == []


def test_a_folder_that_cannot_be_written(
    far_client: dl4mic_client.Client, server: ScriptedServer, tmp_path: Path
) -> None:
    server.files = {"job:a1/a.tif": b"x"}
    (tmp_path / "out").write_text("a file, where a folder should be")
    with pytest.raises(dl4mic_client.TransferFault, match="cannot be written"):
        far_client.pull("job:a1/", tmp_path / "out")


def test_uploads_are_listed_and_deleted(far_client: dl4mic_client.Client, folder: Path) -> None:
    location = far_client.push(folder, "plate")
    listed = far_client.list_data("uploads:", with_sha256=True)
    assert [each.size for each in listed] == [3_000_000, 10]
    assert all(len(each.sha256) == 64 for each in listed)
    assert far_client.delete_data(location).deleted_files == 2
