# SPDX-License-Identifier: BSD-3-Clause
"""Uploads stay within the limits, two of the same file do not mix, and what breaks leaves nothing half there."""

from __future__ import annotations

import errno
import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from dl4mic import data_service
from dl4mic.check import Refused
from dl4mic.data_service import PARTIAL, DataServicer
from dl4mic.locations import Locations
from dl4mic.server import CHUNK_BYTES, RpcError, status_of
from dl4mic.v1.data_pb2 import DeleteDataRequest, GetDataRequest, ListDataRequest, PutDataRequest

AT = "uploads:a"


class Remote:
    """The context of a caller from afar."""

    def peer(self) -> str:
        return "ipv4:1.2.3.4"


def api(folder: Path, limit_bytes: int = 10**8, reserve_bytes: int = 0) -> DataServicer:
    locations = Locations({}, folder, lambda job_id: folder / job_id)
    return DataServicer(locations, limit_bytes, reserve_bytes)


def header(content: bytes, location: str = AT, **more: Any) -> PutDataRequest:
    digest = hashlib.sha256(content).hexdigest()
    values = {"location": location, "size": len(content), "sha256": digest, **more}
    return PutDataRequest(header=PutDataRequest.Header(**values))


def parts(
    content: bytes, gate: threading.Event | None = None, location: str = AT, **more: Any
) -> Iterator[PutDataRequest]:
    yield header(content, location, **more)
    if gate is not None:
        gate.wait(10)
    yield PutDataRequest(chunk=content[more.get("offset", 0) :])


def listed(data: DataServicer) -> list[tuple[str, int, bool]]:
    entries = data.ListData(ListDataRequest(location="uploads:"), Remote()).entries
    return [(entry.location, entry.size, entry.complete) for entry in entries]


def test_a_file_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="at most 100"):
        api(tmp_path, limit_bytes=100).PutData(parts(bytes(101)), None)
    assert list(tmp_path.iterdir()) == []


def test_the_reserve_stays_free(tmp_path: Path) -> None:
    with pytest.raises(RpcError, match="MiB are free") as caught:
        api(tmp_path / "new", reserve_bytes=1 << 60).PutData(parts(b"x"), None)
    assert caught.value.code is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize(
    ("first", "words"),
    [
        (PutDataRequest(chunk=b"x"), "first message"),
        (PutDataRequest(), "first message"),
        (header(b"x", size=-1), "header.size"),
        (header(b"x", sha256="A" * 64), "lower-case hexadecimal"),
        (header(b"x", sha256=""), "64"),
        (header(b"x", offset=2), "header.offset"),
        (header(b"x", offset=-1), "header.offset"),
        (header(b"x", offset=1), "only 0 bytes have arrived"),
        (header(b"x", "uploads:a" + PARTIAL), "must not end with"),
        (header(b"x", "uploads:" + "a" * 300), "too long"),
        (header(b"x", "lab:a"), "only uploads:PATH"),
        (header(b"x", "uploads:../a"), "leaves its root"),
    ],
)
def test_a_wrong_header_is_refused(tmp_path: Path, first: PutDataRequest, words: str) -> None:
    with pytest.raises(Refused, match=words):
        api(tmp_path).PutData(iter([first]), None)
    assert list(tmp_path.iterdir()) == []


def test_chunks_beyond_what_was_said_are_refused(tmp_path: Path) -> None:
    data = api(tmp_path)
    with pytest.raises(Refused, match="more than the 3 bytes"):
        data.PutData(iter([header(b"abc"), PutDataRequest(chunk=b"abcd")]), None)
    large = bytes(CHUNK_BYTES + 1)
    with pytest.raises(Refused, match=f"at most {CHUNK_BYTES}"):
        data.PutData(parts(large), None)
    assert not (tmp_path / "a").exists()
    assert data.PutData(parts(b"abc"), None).entry.complete


def test_a_stream_that_stops_half_way_leaves_what_it_brought(tmp_path: Path) -> None:
    data = api(tmp_path)
    content = bytes(range(250)) * 10

    def broken() -> Iterator[PutDataRequest]:
        yield header(content)
        yield PutDataRequest(chunk=content[:1000])
        raise ConnectionError("gone")

    with pytest.raises(ConnectionError):
        data.PutData(broken(), None)
    assert listed(data) == [(AT, 1000, False)]
    with pytest.raises(RpcError, match="1000 of 2500 bytes arrived; go on at offset 1000"):
        data.PutData(iter([header(content, offset=1000)]), None)
    assert data.PutData(parts(content, offset=1000), None).entry.complete
    assert (tmp_path / "a").read_bytes() == content
    assert listed(data) == [(AT, 2500, True)]


def test_what_is_not_its_sha256_is_thrown_away(tmp_path: Path) -> None:
    data = api(tmp_path)
    with pytest.raises(RpcError, match="not that of its SHA-256"):
        data.PutData(iter([header(b"abc"), PutDataRequest(chunk=b"abd")]), None)
    assert list(tmp_path.iterdir()) == []


def test_two_uploads_of_one_file_do_not_mix(tmp_path: Path) -> None:
    data, gate = api(tmp_path), threading.Event()
    first = threading.Thread(target=data.PutData, args=(parts(b"first", gate), None))
    first.start()
    while not data.is_busy(tmp_path / "a"):
        pass
    with pytest.raises(RpcError, match="another call") as caught:
        data.PutData(parts(b"second"), None)
    assert caught.value.code is grpc.StatusCode.ABORTED
    for location in (AT, "uploads:"):
        with pytest.raises((RpcError, Refused)):
            data.DeleteData(DeleteDataRequest(location=location), None)
    gate.set()
    first.join()
    assert (tmp_path / "a").read_bytes() == b"first"
    data.PutData(parts(b"second"), None)
    assert (tmp_path / "a").read_bytes() == b"second"


def test_a_file_where_a_folder_is_and_a_folder_where_a_file_is(tmp_path: Path) -> None:
    data = api(tmp_path)
    data.PutData(parts(b"x", location="uploads:folder/file"), None)
    for location in ("uploads:folder", "uploads:folder/file/below"):
        with pytest.raises(Refused, match="a file lies where a folder is needed"):
            data.PutData(parts(b"x", location=location), None)
    assert listed(data) == [("uploads:folder/file", 1, True)]


def test_an_unfinished_upload_can_be_deleted(tmp_path: Path) -> None:
    data = api(tmp_path)
    with pytest.raises(RpcError):
        data.PutData(iter([header(b"abc"), PutDataRequest(chunk=b"ab")]), None)
    deleted = data.DeleteData(DeleteDataRequest(location=AT), None)
    assert (deleted.deleted_files, deleted.freed_bytes) == (1, 2)
    assert list(tmp_path.iterdir()) == []


def test_two_deletions_at_once_are_one_deletion_and_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = api(tmp_path)
    data.PutData(parts(b"first", location="uploads:x/a"), None)
    real, words = data_service._delete, []

    def meanwhile(path: Path) -> Any:
        for location in ("uploads:x", "uploads:x/a"):
            with pytest.raises(RpcError, match="deleted by another call"):
                data.DeleteData(DeleteDataRequest(location=location), None)
        with pytest.raises(RpcError, match="deleted by another call"):
            data.PutData(parts(b"more", location="uploads:x/b"), None)
        words.append(str(path))
        return real(path)

    monkeypatch.setattr(data_service, "_delete", meanwhile)
    request = DeleteDataRequest(location="uploads:x")
    assert data.DeleteData(request, None).deleted_files == 1 and len(words) == 1
    with pytest.raises(RpcError, match="nothing at 'uploads:x'"):
        data.DeleteData(request, None)


def test_a_file_that_another_call_deletes_first_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, real = api(tmp_path), DataServicer._alone
    data.PutData(parts(b"first"), None)

    def behind(self: DataServicer, path: Path) -> Any:
        path.unlink()
        return real(self, path)

    monkeypatch.setattr(DataServicer, "_alone", behind)
    with pytest.raises(RpcError) as caught:
        data.DeleteData(DeleteDataRequest(location=AT), None)
    assert caught.value.code is grpc.StatusCode.NOT_FOUND


def test_a_file_that_changes_while_it_is_sent_is_not_taken_for_whole(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(2 * CHUNK_BYTES))
    parts_of_it = api(tmp_path).GetData(GetDataRequest(location=AT), Remote())
    assert next(parts_of_it).header.size == 2 * CHUNK_BYTES
    next(parts_of_it)
    (tmp_path / "a").write_bytes(b"")
    with pytest.raises(RpcError, match="changed while it was sent"):
        list(parts_of_it)


def test_a_full_disk_is_told_in_words() -> None:
    status = status_of(OSError(errno.ENOSPC, "No space left on device", "/secret/path"))
    assert status.code == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
    assert "disk is full" in status.message and "/secret" not in str(status)


def nothing_is_sent(content: bytes, location: str) -> Iterator[PutDataRequest]:
    yield header(content, location)
    raise AssertionError("no chunk is asked for")


def test_a_file_that_another_upload_has_is_not_sent_again(tmp_path: Path) -> None:
    """A folder that grew is a new upload; what it had before is linked."""
    data, content = api(tmp_path), b"pixels" * 1000
    data.PutData(parts(content, location="uploads:old/deep/a.tif"), None)
    data.PutData(nothing_is_sent(content, "uploads:new/deep/a.tif"), None)
    old, new = (tmp_path / each / "deep" / "a.tif" for each in ("old", "new"))
    assert old.samefile(new)
    data.PutData(parts(b"changed", location="uploads:old/deep/a.tif"), None)
    assert (old.read_bytes(), new.read_bytes()) == (b"changed", content)


def test_a_file_of_the_same_size_and_another_content_is_sent(tmp_path: Path) -> None:
    data = api(tmp_path)
    data.PutData(parts(b"one", location="uploads:old/a.tif"), None)
    data.PutData(parts(b"two", location="uploads:new/a.tif"), None)
    assert (tmp_path / "new" / "a.tif").read_bytes() == b"two"


def test_what_is_known_takes_the_place_of_what_had_arrived(tmp_path: Path) -> None:
    data, content = api(tmp_path), b"pixels" * 1000
    data.PutData(parts(content, location="uploads:old/a.tif"), None)
    with pytest.raises(RpcError, match="go on at offset 0"):
        data.PutData(iter([header(content + b"more", "uploads:new/a.tif")]), None)
    data.PutData(nothing_is_sent(content, "uploads:new/a.tif"), None)
    assert ("uploads:new/a.tif", len(content), True) in listed(data)
    assert not list(tmp_path.rglob("*" + PARTIAL))
