# SPDX-License-Identifier: BSD-3-Clause
"""The file of tokens: what it takes, what it refuses without showing it, and what a change of it does."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dl4mic_orchestrator.front.tokens import Identity, Tokens, hash_of

ALICE, BOB = "alice-token", "bob-token"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "tokens"
    write(file, "# of the lab", "", f"alice lab1 {hash_of(ALICE)}", f"  bob * {hash_of(BOB)}")
    return file


def write(path: Path, *lines: str) -> None:
    """Replace the file, as a mounted secret is replaced."""
    partial = path.with_name("partial")
    partial.write_text("\n".join(lines))
    os.replace(partial, path)


def test_a_token_tells_caller_and_project(path: Path) -> None:
    tokens = Tokens(path)
    assert tokens.find(ALICE) == Identity("alice", "lab1")
    assert tokens.find(BOB) == Identity("bob", "")


@pytest.mark.parametrize(
    "token", ["", "alice", "bob-tokens", hash_of(ALICE), "\N{SNOWMAN}", "\ud800"]
)
def test_nobodys_token(path: Path, token: str) -> None:
    assert Tokens(path).find(token) is None


def test_the_hash_is_that_of_the_standard() -> None:
    # printf abc | sha256sum
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert hash_of("abc") == f"sha256:{digest}"


def test_who_is_taken_out_is_out_at_once_and_who_is_added_in(path: Path) -> None:
    tokens = Tokens(path)
    write(path, f"bob * {hash_of(BOB)}", f"carl lab2 {hash_of('carl')}")
    assert tokens.find(ALICE) is None
    assert tokens.find("carl") == Identity("carl", "lab2")


def test_a_faulty_change_leaves_those_from_before(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tokens = Tokens(path)
    write(path, "what is this")
    assert tokens.find(ALICE) == Identity("alice", "lab1")
    assert "line 1: the third word is no hash" in caplog.text
    path.unlink()
    assert tokens.find(ALICE) == Identity("alice", "lab1")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", "holds no token"),
        ("alice lab1", "line 1: expected NAME PROJECT sha256:HASH"),
        (f"Alice lab1 {hash_of(ALICE)}", "line 1: no name of a caller and a project"),
        (f"alice lab/1 {hash_of(ALICE)}", "line 1: no name of a caller and a project"),
        (f"alice lab1 {ALICE}", "line 1: the third word is no hash of a token"),
    ],
)
def test_what_is_refused_is_not_shown(tmp_path: Path, line: str, words: str) -> None:
    write(tmp_path / "tokens", line)
    with pytest.raises(ValueError, match=words) as caught:
        Tokens(tmp_path / "tokens")
    assert ALICE not in str(caught.value) and hash_of(ALICE) not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot be read: No such file"):
        Tokens(tmp_path / "none")
