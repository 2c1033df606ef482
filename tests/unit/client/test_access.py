# SPDX-License-Identifier: BSD-3-Clause
"""What a client shows a server, where it gets it from, and to whom it never shows it."""

from __future__ import annotations

import hashlib
import json
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner

from dl4mic_client import address as addresses
from dl4mic_client import connect
from dl4mic_client.access import Access
from dl4mic_client.cli import main
from dl4mic_client.errors import Refused


@pytest.mark.parametrize(
    ("text", "loopback"),
    [
        ("localhost:1", True),
        ("127.0.0.7:1", True),
        ("[::1]:1", True),
        ("unix:///s", True),
        ("10.0.0.1:1", False),
        ("localhost.example:1", False),
    ],
)
def test_what_stays_on_this_machine(text: str, loopback: bool) -> None:
    assert addresses.parse(text).loopback is loopback


def test_the_environment_says_who_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Access.of_environment() == Access()
    (tmp_path / "token").write_text("of a file\n")
    (tmp_path / "ca").write_bytes(b"PEM")
    monkeypatch.setenv("DL4MIC_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setenv("DL4MIC_CA", str(tmp_path / "ca"))
    monkeypatch.setenv("DL4MIC_TLS_NAME", "server.lab")
    assert Access.of_environment() == Access("of a file", True, b"PEM", "server.lab")
    monkeypatch.setenv("DL4MIC_TOKEN", "said")
    monkeypatch.setenv("DL4MIC_CA", "system")
    assert Access.of_environment() == Access("said", True, None, "server.lab")
    assert "said" not in repr(Access.of_environment())


@pytest.mark.parametrize("variable", ["DL4MIC_TOKEN_FILE", "DL4MIC_CA"])
def test_a_file_that_is_not_there_is_named(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "/nowhere")
    with pytest.raises(Refused, match=f"{variable} names /nowhere, which cannot be read"):
        connect("localhost:1")


def test_no_token_goes_over_the_net_unencrypted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DL4MIC_TOKEN", "hush")
    with pytest.raises(Refused, match=r"would go to 10\.0\.0\.1:1 unencrypted") as caught:
        connect("10.0.0.1:1")
    assert "DL4MIC_CA" in caught.value.hint and "hush" not in str(caught.value)
    connect("localhost:1").close()


def test_a_token_is_shown_once_and_its_line_has_the_hash() -> None:
    results = [CliRunner().invoke(main, ["token", "alice"]) for _ in range(2)]
    tokens = [result.stdout.strip() for result in results]
    assert len(set(tokens)) == 2 and all(len(each) >= 43 for each in tokens)
    digest = hashlib.sha256(tokens[0].encode()).hexdigest()
    assert f"alice * sha256:{digest}" in results[0].stderr
    assert tokens[0] not in results[0].stderr


def test_a_token_is_added_to_a_file_that_only_its_owner_reads(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    words = ["token", "alice", "--project", "lab1", "--tokens", str(file), "--json"]
    made = [json.loads(CliRunner().invoke(main, words).stdout) for _ in range(2)]
    assert file.read_text().splitlines() == [each["line"] for each in made]
    assert made[0]["line"].startswith("alice lab1 sha256:")
    assert made[0]["token"] not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_line_is_added_behind_one_that_has_no_end(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text("# of the lab")
    CliRunner().invoke(main, ["token", "alice", "--tokens", str(file)])
    assert file.read_text().startswith("# of the lab\nalice * sha256:")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["Alice"], 2, "NAME 'Alice' is no name"),
        (["alice", "--project", "a b"], 2, "--project 'a b' is no name"),
        (["alice", "--tokens", "/nowhere/tokens"], 7, "/nowhere/tokens cannot be written"),
    ],
)
def test_what_makes_no_token(words: list[str], code: int, said: str) -> None:
    result = CliRunner().invoke(main, ["token", *words])
    assert result.exit_code == code
    assert said in result.stderr
