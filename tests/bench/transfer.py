# SPDX-License-Identifier: BSD-3-Clause
"""Upload and download by DataService against a plain gRPC stream with the same chunks that also hashes and writes.

``python tests/bench/transfer.py [MIB] [ROUNDS]`` serves both in one process of their own, takes turns, and prints
rates, their ratio, and the processor seconds that server and client took for each. "plain" streams messages of gRPC's
ordinary kind, with one field of bytes; "bare" leaves protobuf out as well, for what it costs. All write new files.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path
from statistics import median
from typing import Any

import grpc
from google.protobuf.wrappers_pb2 import BytesValue

from dl4mic.data_service import DataServicer
from dl4mic.locations import Locations
from dl4mic.server import CHUNK_BYTES, listen
from dl4mic.v1.data_pb2 import GetDataRequest, PutDataRequest
from dl4mic.v1.data_pb2_grpc import DataServiceStub, add_DataServiceServicer_to_server

PLAIN_PUT, PLAIN_GET, BARE_PUT, BARE_GET = "/plain/Put", "/plain/Get", "/bare/Put", "/bare/Get"


class Plain(grpc.GenericRpcHandler):
    """The plain streams: bytes as they are, hashed and written, with no other thought."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "plain"
        self._folder.mkdir()
        self._path = self._folder / "none"

    def service(self, details: Any) -> Any:
        handlers = {
            PLAIN_PUT: grpc.stream_unary_rpc_method_handler(self._put, BytesValue.FromString),
            PLAIN_GET: grpc.unary_stream_rpc_method_handler(
                self._get, response_serializer=serialized
            ),
            BARE_PUT: grpc.stream_unary_rpc_method_handler(self._put_bare),
            BARE_GET: grpc.unary_stream_rpc_method_handler(self._get),
        }
        return handlers.get(details.method)

    def _put(self, messages: Iterator[BytesValue], context: object) -> bytes:
        return self._put_bare((message.value for message in messages), context)

    def _put_bare(self, chunks: Iterator[bytes], _context: object) -> bytes:
        digest = hashlib.sha256()
        self._path = self._folder / str(time.monotonic_ns())
        with self._path.open("wb") as file:
            for chunk in chunks:
                file.write(chunk)
                digest.update(chunk)
        return digest.hexdigest().encode()

    def _get(self, _request: bytes, _context: object) -> Iterator[bytes]:
        digest = hashlib.sha256()
        with self._path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                digest.update(chunk)
                yield chunk


def serialized(chunk: bytes) -> bytes:
    return BytesValue(value=chunk).SerializeToString()


def serve(folder: Path) -> None:
    """Serve both kinds until the end of standard input."""
    locations = Locations({}, folder / "uploads", lambda job_id: folder / job_id)
    servicers = {add_DataServiceServicer_to_server: DataServicer(locations)}
    ours = listen("localhost:0", servicers)
    plain = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
    plain.add_generic_rpc_handlers((Plain(folder),))
    port = plain.add_insecure_port("localhost:0")
    plain.start()
    print(json.dumps({"ours": ours.address, "plain": f"localhost:{port}"}), flush=True)
    signal.pause()


def chunks_of(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def our_put(stub: DataServiceStub, path: Path, digest: str) -> None:
    """Send under a new name each time: a file that the server has already is not sent."""
    location = f"uploads:{path.name}{time.monotonic_ns()}"
    header = PutDataRequest.Header(location=location, size=path.stat().st_size, sha256=digest)

    def requests() -> Iterator[PutDataRequest]:
        yield PutDataRequest(header=header)
        for chunk in chunks_of(path):
            yield PutDataRequest(chunk=chunk)

    assert stub.PutData(requests()).entry.complete
    our_put.location = location  # type: ignore[attr-defined]


def our_get(stub: DataServiceStub, target: Path) -> None:
    digest = hashlib.sha256()
    with target.open("wb") as file:
        for part in stub.GetData(GetDataRequest(location=our_put.location)):  # type: ignore[attr-defined]
            chunk = part.chunk
            file.write(chunk)
            digest.update(chunk)
            last = part
    assert last.sha256 == digest.hexdigest()


def plain_put(put: Callable[..., bytes], path: Path, digest: str) -> None:
    assert put(chunks_of(path)).decode() == digest


def plain_get(get: Callable[..., Iterator[bytes]], target: Path) -> None:
    digest = hashlib.sha256()
    with target.open("wb") as file:
        for chunk in get(b""):
            file.write(chunk)
            digest.update(chunk)


def clear(kind: str, path: Path, target: Path) -> None:
    """Delete what the same side wrote before and wait for the disk: nobody pays for what another one left to write."""
    target.unlink(missing_ok=True)
    if kind.endswith("upload"):
        for old in path.parent.glob("uploads/*" if kind.startswith("our") else "plain/*"):
            old.unlink()
    os.sync()


def cpu_of(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(work: Callable[[], object], pid: int) -> tuple[float, float]:
    """Wall seconds, and processor seconds of client and server together."""
    before = resource.getrusage(resource.RUSAGE_SELF)
    server, start = cpu_of(pid), time.monotonic()
    work()
    wall = time.monotonic() - start
    after = resource.getrusage(resource.RUSAGE_SELF)
    own = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall, own + cpu_of(pid) - server


def main(mib: int, rounds: int) -> None:
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        (folder / "uploads").mkdir()
        path, target = folder / "content", folder / "received"
        with path.open("wb") as file:
            for _ in range(mib):
                file.write(os.urandom(1 << 20))
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        command = [sys.executable, __file__, "--serve", text]
        server = subprocess.Popen(command, stdout=subprocess.PIPE)
        try:
            assert server.stdout is not None
            report(json.loads(server.stdout.readline()), server.pid, path, target, digest, rounds)
        finally:
            server.kill()
            server.wait()


def report(
    at: dict[str, str], pid: int, path: Path, target: Path, digest: str, rounds: int
) -> None:
    with grpc.insecure_channel(at["ours"]) as ours, grpc.insecure_channel(at["plain"]) as plain:
        stub = DataServiceStub(ours)
        put = plain.stream_unary(PLAIN_PUT, serialized)
        get = plain.unary_stream(
            PLAIN_GET, response_deserializer=lambda message: BytesValue.FromString(message).value
        )
        bare_put, bare_get = plain.stream_unary(BARE_PUT), plain.unary_stream(BARE_GET)
        kinds: dict[str, Callable[[], object]] = {
            "plain upload": lambda: plain_put(put, path, digest),
            "our upload": lambda: our_put(stub, path, digest),
            "bare upload": lambda: plain_put(bare_put, path, digest),
            "plain download": lambda: plain_get(get, target),
            "our download": lambda: our_get(stub, target),
            "bare download": lambda: plain_get(bare_get, target),
        }
        seen: dict[str, list[tuple[float, float]]] = {kind: [] for kind in kinds}
        for number in range(rounds + 1):  # the first warms up
            turn = list(kinds)[number % 3 :] + list(kinds)[: number % 3]  # nobody always goes first
            for kind in turn:
                clear(kind, path, target)
                took = measure(kinds[kind], pid)
                if number:
                    seen[kind].append(took)
    mib = path.stat().st_size >> 20
    print(f"{mib} MiB, chunks of {CHUNK_BYTES >> 10} KiB, {rounds} rounds in turn, medians")
    print(f"{'':16}{'MiB/s':>8}{'wall s':>8}{'cpu s':>8}")
    for kind, took in seen.items():
        wall, cpu = (median(each[place] for each in took) for place in (0, 1))
        print(f"{kind:16}{mib / wall:8.0f}{wall:8.2f}{cpu:8.2f}")
    for way in ("upload", "download"):
        pairs = list(zip(seen[f"plain {way}"], seen[f"our {way}"], strict=True))
        wall = median(plain[0] / our[0] for plain, our in pairs)
        cpu = median(plain[1] / our[1] for plain, our in pairs)
        print(f"{way}: rate {wall:.2f} of the plain stream's (by processor seconds {cpu:.2f})")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serve(Path(sys.argv[2]))
    else:
        main(*(int(each) for each in (sys.argv[1:] or ["1024", "5"])))
