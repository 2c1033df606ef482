# SPDX-License-Identifier: BSD-3-Clause
"""Uploads stay within the limits, and two of the same file do not mix."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from dl4mic.check import Refused
from dl4mic.locations import Locations
from dl4mic.server import RpcError
from dl4mic.v1.data_pb2 import PutDataRequest
from dl4mic_orchestrator.api.data import DataApi


def api(folder: Path, limit_bytes: int = 100, reserve_bytes: int = 0) -> DataApi:
    locations = Locations({}, folder, lambda job_id: folder / job_id)
    return DataApi(locations, folder, limit_bytes, reserve_bytes)


def parts(content: bytes, gate: threading.Event | None = None) -> Iterator[PutDataRequest]:
    digest = hashlib.sha256(content).hexdigest()
    header = PutDataRequest.Header(location="uploads:a", size=len(content), sha256=digest)
    yield PutDataRequest(header=header)
    if gate is not None:
        gate.wait(10)
    yield PutDataRequest(chunk=content)


def test_a_file_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="at most 100"):
        api(tmp_path).PutData(parts(bytes(101)), None)
    assert list(tmp_path.iterdir()) == []


def test_the_reserve_stays_free(tmp_path: Path) -> None:
    with pytest.raises(RpcError, match="MiB are free") as caught:
        api(tmp_path, reserve_bytes=1 << 60).PutData(parts(b"x"), None)
    assert caught.value.code is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_no_header_no_file(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="first message"):
        api(tmp_path).PutData(iter([PutDataRequest(chunk=b"x")]), None)


def test_two_uploads_of_one_file_do_not_mix(tmp_path: Path) -> None:
    data, gate = api(tmp_path), threading.Event()
    first = threading.Thread(target=data.PutData, args=(parts(b"first", gate), None))
    first.start()
    while not data._writing:
        pass
    with pytest.raises(RpcError, match="another call"):
        data.PutData(parts(b"second"), None)
    gate.set()
    first.join()
    assert (tmp_path / "a").read_bytes() == b"first"
    data.PutData(parts(b"second"), None)
    assert (tmp_path / "a").read_bytes() == b"second"
