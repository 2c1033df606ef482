# SPDX-License-Identifier: BSD-3-Clause
"""Why an address cannot be listened on is said in words, and what stands there is left alone."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Iterator

import pytest

from dl4mic.addresses import check_address
from dl4mic.server import listen


@pytest.fixture
def taken() -> Iterator[int]:
    """A port of 127.0.0.1 that another program listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        one.listen(1)
        yield one.getsockname()[1]


def fault(address: str, flag: str = "--listen") -> str:
    with pytest.raises(OSError) as caught:
        check_address(address, flag)
    said = str(caught.value)
    assert said.startswith("cannot listen on {}: ".format(address)) and flag in said
    return said


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0"])
def test_a_port_that_another_program_has(taken: int, host: str) -> None:
    """Also where the name has another address that is free: those who dial the name would meet either."""
    said = fault("{}:{}".format(host, taken), "--metrics-port")
    assert "another program listens there; end it, or name another address by" in said


def test_a_socket_that_another_server_listens_on_is_left_to_it(tmp_path: Path) -> None:
    address = "unix://{}/s".format(tmp_path)
    listening = listen(address, {})
    try:
        with pytest.raises(OSError, match="another program listens there"):
            listen(address, {})
        with socket.socket(socket.AF_UNIX) as one:
            one.connect(str(tmp_path / "s"))
    finally:
        listening.server.stop(0).wait()


def test_a_socket_that_a_killed_server_left_is_taken_over(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "s"))
    listen("unix://{}/s".format(tmp_path), {}).server.stop(0).wait()


def test_a_file_in_the_place_of_a_socket_is_not_deleted(tmp_path: Path) -> None:
    (tmp_path / "results.csv").write_text("all my work")
    with pytest.raises(OSError, match="something else, which is not deleted"):
        listen("unix://{}/results.csv".format(tmp_path), {})
    assert (tmp_path / "results.csv").read_text() == "all my work"


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("unix:///tmp/" + "x" * 120, "at most 107 bytes"),
        ("192.0.2.77:50051", "this machine has no such address"),
        ("localhost", "expected HOST:PORT"),
        (":50051", "expected HOST:PORT"),
        ("localhost:http", "expected HOST:PORT"),
        ("localhost:80800", "ports go from 0 to 65535"),
        ("nowhere.invalid:50051", "the host is unknown"),
    ],
)
def test_an_address_that_is_none(address: str, words: str) -> None:
    assert words in fault(address)


@pytest.mark.parametrize("address", ["localhost:0", "127.0.0.1:0", "0.0.0.0:0"])
def test_any_free_port_may_be_asked_for(address: str) -> None:
    check_address(address)
