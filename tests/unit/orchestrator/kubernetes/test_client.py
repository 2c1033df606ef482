# SPDX-License-Identifier: BSD-3-Clause
"""The client over real HTTP: paths, pages, streams, and what refusals become."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest
import yaml
from kubernetes.config import kube_config

from dl4mic_orchestrator.backends.kubernetes import client as client_module
from dl4mic_orchestrator.backends.kubernetes.cache import ExpiredError, RefusedError
from dl4mic_orchestrator.backends.kubernetes.client import (
    EVENTS,
    JOBS,
    NODES,
    PODS,
    ApiError,
    ClusterClient,
)


class Server(ThreadingHTTPServer):
    """Answers with what a test put down, in turn: a status and one or more pieces of a body.

    Attributes
    ----------
    cuts
        It ends its connections before its answers.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: list[tuple[int, list[bytes]]] = []
        self.asked: list[tuple[str, str, dict, object]] = []
        self.tokens: set[str | None] = set()
        self.cuts = False
        self.go_on = threading.Event()
        self.go_on.set()

    def answer(self, status: int, *content: object) -> None:
        self.answers.append((status, [json.dumps(each).encode() + b"\n" for each in content]))


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def handle_any(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        url = urlsplit(self.path)
        self.server.asked.append((self.command, url.path, dict(parse_qsl(url.query)), body))
        status, pieces = self.server.answers.pop(0)
        self.server.tokens.add(self.headers["Authorization"])
        self.send_response(status)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for piece in pieces:
            middle = len(piece) // 2
            self._send(piece[:middle])
            self._send(piece[middle:])
            self.server.go_on.wait(20)
        if self.server.cuts:
            self.close_connection = True
        else:
            self._send(b"")

    def _send(self, piece: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        self.wfile.flush()

    do_GET = do_POST = do_DELETE = handle_any

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def calls() -> list[tuple[str, str, int]]:
    return []


@pytest.fixture
def client(
    server: Server, calls: list, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> ClusterClient:
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
        "clusters": [
            {"name": "here", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}
        ],
        "users": [{"name": "me", "user": {"token": "secret"}}],
    }
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(config))
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(path))
    return ClusterClient("imaging", lambda *call: calls.append(call))


def test_no_cluster_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none"))
    with pytest.raises(ConnectionError, match="no cluster is known"):
        ClusterClient("imaging")


def test_the_version(server: Server, client: ClusterClient) -> None:
    server.answer(200, {"major": "1", "minor": "27+"})
    assert client.version() == (1, 27)
    assert server.asked == [("GET", "/version", {}, None)]
    assert server.tokens == {"Bearer secret"}


def test_an_object_is_made_and_read_as_it_is(
    server: Server, client: ClusterClient, calls: list
) -> None:
    manifest = {"metadata": {"name": "a"}, "spec": {"of": "tomorrow"}}
    server.answer(201, {**manifest, "made": True})
    server.answer(200, manifest)
    assert client.create(JOBS, manifest)["made"] is True
    assert client.get(JOBS, "a") == manifest
    path = "/apis/batch/v1/namespaces/imaging/jobs"
    assert server.asked == [("POST", path, {}, manifest), ("GET", f"{path}/a", {}, None)]
    assert calls == [("create", "jobs", 201), ("get", "jobs", 200)]


def test_a_refusal_has_its_status_and_words(
    server: Server, client: ClusterClient, calls: list
) -> None:
    server.answer(409, {"kind": "Status", "message": 'jobs "a" already exists'})
    with pytest.raises(ApiError, match='jobs "a" already exists') as refusal:
        client.create(JOBS, {"metadata": {"name": "a"}})
    assert refusal.value.status == 409
    assert calls == [("create", "jobs", 409)]


def test_what_is_gone_is_deleted_already(server: Server, client: ClusterClient) -> None:
    server.answer(404, {"message": "none"})
    client.delete(PODS, "a", 5)
    body = {"propagationPolicy": "Background", "gracePeriodSeconds": 5}
    assert server.asked == [("DELETE", "/api/v1/namespaces/imaging/pods/a", {}, body)]
    server.answer(500, {"message": "broken"})
    with pytest.raises(ApiError, match="broken"):
        client.delete(PODS, "a")


def test_a_long_list_comes_in_pages(server: Server, client: ClusterClient) -> None:
    server.answer(200, {"metadata": {"resourceVersion": "7", "continue": "more"}, "items": [1, 2]})
    server.answer(200, {"metadata": {"resourceVersion": "7"}, "items": [3]})
    assert client.list(NODES, {"labelSelector": "a=b"}) == ([1, 2, 3], "7")
    assert [query.get("continue") for _, _, query, _ in server.asked] == [None, "more"]
    assert {query["labelSelector"] for _, _, query, _ in server.asked} == {"a=b"}
    assert server.asked[0][1] == "/api/v1/nodes"


def test_a_kind_that_we_may_not_read(server: Server, client: ClusterClient) -> None:
    server.answer(403, {"message": "nodes is forbidden"})
    with pytest.raises(RefusedError, match="nodes is forbidden"):
        client.list(NODES, {})


def test_a_watch_tells_each_change_as_it_comes(server: Server, client: ClusterClient) -> None:
    server.answer(
        200,
        {"type": "ADDED", "object": {"metadata": {"name": "ä"}}},
        {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "9"}}},
    )
    server.go_on.clear()
    watch = client.watch(PODS, {}, "5")
    told = [next(watch)]
    server.go_on.set()
    told += watch
    assert [kind for kind, _ in told] == ["ADDED", "BOOKMARK"]
    assert told[0][1]["metadata"]["name"] == "ä"
    query = server.asked[0][2]
    assert (query["watch"], query["resourceVersion"]) == ("true", "5")


def test_a_watch_that_is_silent_ends(
    server: Server, client: ClusterClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "_SILENCE_SECONDS", 0.2)
    server.answer(200, {"type": "ADDED", "object": {"metadata": {"name": "a"}}}, {})
    server.go_on.clear()
    assert [kind for kind, _ in client.watch(EVENTS, {}, "5")] == ["ADDED"]
    server.go_on.set()


@pytest.mark.parametrize("status", [200, 410])
def test_a_watch_whose_version_is_too_old(
    server: Server, client: ClusterClient, status: int
) -> None:
    gone = {"code": 410, "message": "too old"}
    server.answer(status, {"type": "ERROR", "object": gone} if status == 200 else gone)
    with pytest.raises(ExpiredError, match="too old"):
        list(client.watch(PODS, {}, "5"))


def test_a_server_that_is_away(server: Server, client: ClusterClient, calls: list) -> None:
    server.shutdown()
    server.server_close()
    with pytest.raises(ApiError, match="cannot be reached") as error:
        client.version()
    assert error.value.status == 0 and calls == [("get", "version", 0)]


@pytest.mark.parametrize("status", [200, 500])
def test_an_answer_that_breaks_off(
    server: Server, client: ClusterClient, calls: list, status: int
) -> None:
    server.cuts = True
    for ask in (
        lambda: client.create(JOBS, {"metadata": {"name": "a"}}),
        lambda: client.log("a", 100),
    ):
        server.answer(status, {"metadata": {"name": "a"}})
        with pytest.raises(ApiError, match="cannot be reached") as error:
            ask()
        assert error.value.status == 0
    assert calls == [("create", "jobs", 0), ("get", "pods/log", 0)]


def test_a_watch_that_is_refused_is_counted_as_that(
    server: Server, client: ClusterClient, calls: list
) -> None:
    server.answer(403, {"message": "pods is forbidden"})
    with pytest.raises(ApiError, match="pods is forbidden"):
        list(client.watch(PODS, {}, "5"))
    assert calls == [("watch", "pods", 403)]


def test_the_log_of_a_pod(server: Server, client: ClusterClient) -> None:
    server.answers.append((200, [b"words\n"]))
    assert client.log("a", 100) == "words\n"
    assert server.asked[0][1:3] == (
        "/api/v1/namespaces/imaging/pods/a/log",
        {"limitBytes": "100", "tailLines": "2000"},
    )
