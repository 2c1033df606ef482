# SPDX-License-Identifier: BSD-3-Clause
"""The front as a client meets it: TLS and tokens over a real socket, and what is said where they are wrong."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import certificates
import grpc
import pytest

from dl4mic import health
from dl4mic.server import Listening, listen
from dl4mic.v1.catalog_pb2 import ListNetworksRequest, ListNetworksResponse
from dl4mic.v1.catalog_pb2_grpc import (
    CatalogServiceServicer,
    add_CatalogServiceServicer_to_server,
)
from dl4mic.v1.job_pb2 import JobEvent, WatchJobRequest
from dl4mic.v1.job_pb2_grpc import JobServiceServicer, add_JobServiceServicer_to_server
from dl4mic_client import address as addresses
from dl4mic_client.access import Access
from dl4mic_client.connection import Connection
from dl4mic_client.errors import Refused, Unreachable
from dl4mic_orchestrator.front.authentication import Authentication
from dl4mic_orchestrator.front.tls import Certificate
from dl4mic_orchestrator.front.tokens import Identity, Tokens, hash_of

TOKEN = "alice-token"


class Servicers(CatalogServiceServicer, JobServiceServicer):
    """Notes who called."""

    def __init__(self, authentication: Authentication) -> None:
        self._authentication = authentication
        self.callers: list[Identity] = []

    def ListNetworks(
        self, request: ListNetworksRequest, context: grpc.ServicerContext
    ) -> ListNetworksResponse:
        self.callers.append(self._authentication.identify(context))
        return ListNetworksResponse()

    def WatchJob(
        self, request: WatchJobRequest, context: grpc.ServicerContext
    ) -> Iterator[JobEvent]:
        self.callers.append(self._authentication.identify(context))
        yield JobEvent(sequence=1)


class Front:
    """A server with TLS and tokens."""

    def __init__(self, folder: Path) -> None:
        self.pair = certificates.make(folder / "tls")
        self.tokens = folder / "tokens"
        self.tokens.write_text(f"alice lab1 {hash_of(TOKEN)}\n")
        authentication = Authentication(Tokens(self.tokens))
        self.servicers = Servicers(authentication)
        self.listening: Listening = listen(
            "localhost:0",
            {
                add_CatalogServiceServicer_to_server: self.servicers,
                add_JobServiceServicer_to_server: self.servicers,
            },
            workers=8,
            interceptors=[authentication],
            credentials=Certificate(self.pair.certificate, self.pair.key).credentials(),
        )
        self.address = self.listening.address

    def access(self, token: str = TOKEN, **more: str) -> Access:
        return Access(token, True, self.pair.certificate.read_bytes(), **more)

    def connect(self, access: Access, address: str = "") -> Connection:
        return Connection(addresses.parse(address or self.address), access=access)


@pytest.fixture
def front(tmp_path: Path) -> Iterator[Front]:
    made = Front(tmp_path)
    yield made
    made.listening.server.stop(0).wait()


def ask(connection: Connection) -> None:
    connection.call(connection.catalog.ListNetworks, ListNetworksRequest(), 10.0)


def test_who_has_a_token_is_known_in_calls_and_in_streams(front: Front) -> None:
    connection = front.connect(front.access())
    ask(connection)
    events = list(connection.stream(connection.jobs.WatchJob, WatchJobRequest()))
    assert [each.sequence for each in events] == [1]
    assert front.servicers.callers == [Identity("alice", "lab1")] * 2


@pytest.mark.parametrize(
    ("token", "words"), [("", "has no token"), ("wrong-one", "the token is not known")]
)
def test_who_has_none_is_refused_with_what_to_do(
    front: Front, token: str, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    connection = front.connect(front.access(token))
    with pytest.raises(Refused, match=words) as caught:
        ask(connection)
    assert "DL4MIC_TOKEN" in caught.value.hint and caught.value.reason == "UNAUTHENTICATED"
    with pytest.raises(Refused, match=words):
        list(connection.stream(connection.jobs.WatchJob, WatchJobRequest()))
    assert front.servicers.callers == []
    assert "ListNetworks" in caplog.text and "wrong-one" not in caplog.text


def test_probes_need_no_token(front: Front) -> None:
    assert health.main([front.address, "--ca", str(front.pair.certificate)]) == 0


def test_a_server_that_nobody_vouches_for_gets_no_token(front: Front, tmp_path: Path) -> None:
    other = certificates.make(tmp_path / "other")
    access = Access(TOKEN, True, other.certificate.read_bytes())
    with pytest.raises(Unreachable, match="does not prove who it is") as caught:
        ask(front.connect(access))
    assert "DL4MIC_CA" in caught.value.hint
    assert front.servicers.callers == []


def test_a_certificate_may_name_another_host_than_the_address(front: Front) -> None:
    address = front.address.replace("localhost", "127.0.0.1")
    with pytest.raises(Unreachable, match="does not prove who it is"):
        ask(front.connect(front.access(), address))
    ask(front.connect(front.access(name="localhost"), address))
    assert len(front.servicers.callers) == 1


def test_who_speaks_no_tls_is_told_of_it(front: Front) -> None:
    with pytest.raises(Unreachable, match="No server answers") as caught:
        ask(front.connect(Access()))
    assert "DL4MIC_CA" in caught.value.hint


def test_a_renewed_certificate_is_served_without_a_restart(front: Front, tmp_path: Path) -> None:
    ask(front.connect(front.access()))
    new = certificates.make(tmp_path / "new")
    old = front.pair.certificate.read_bytes()
    for source, target in ((new.certificate, front.pair.certificate), (new.key, front.pair.key)):
        partial = target.with_suffix(".partial")
        shutil.copy(source, partial)
        os.replace(partial, target)
    ask(front.connect(front.access()))
    with pytest.raises(Unreachable):
        ask(front.connect(Access(TOKEN, True, old)))


def test_files_that_are_no_certificate_and_key_are_refused(tmp_path: Path) -> None:
    one, other = certificates.make(tmp_path / "a"), certificates.make(tmp_path / "b")
    with pytest.raises(ValueError, match="no certificate and its key"):
        Certificate(one.certificate, other.key)
    with pytest.raises(ValueError, match="cannot be read"):
        Certificate(one.certificate, tmp_path / "none")


@pytest.mark.parametrize(("tls", "name"), [(False, ""), (True, "x")])
def test_the_user_of_the_unix_socket_needs_nothing(tmp_path: Path, tls: bool, name: str) -> None:
    (tmp_path / "tokens").write_text(f"alice lab1 {hash_of(TOKEN)}\n")
    authentication = Authentication(Tokens(tmp_path / "tokens"))
    servicers = Servicers(authentication)
    address = f"unix://{tmp_path}/s"
    add = {add_CatalogServiceServicer_to_server: servicers}
    listening = listen(address, add, workers=8, interceptors=[authentication])
    ask(Connection(addresses.parse(address), access=Access(TOKEN, tls, None, name)))
    assert servicers.callers == [Identity("local")]
    listening.server.stop(0).wait()
