# SPDX-License-Identifier: BSD-3-Clause
"""The flags: what is dangerous must be said."""

from __future__ import annotations

from pathlib import Path

import pytest

from dl4mic_orchestrator.__main__ import main
from dl4mic_orchestrator.settings import is_loopback


@pytest.mark.parametrize(
    ("address", "loopback"),
    [
        ("localhost:1", True),
        ("127.0.0.1:1", True),
        ("[::1]:1", True),
        ("0.0.0.0:1", False),
        ("[::]:1", False),
        ("192.168.0.7:1", False),
        ("somewhere.example:1", False),
    ],
)
def test_which_addresses_only_this_machine_reaches(address: str, loopback: bool) -> None:
    assert is_loopback(address) is loopback


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--listen", "0.0.0.0:0"], "say --insecure if that is meant"),
        (["--root", "lab"], "expected NAME=DIR"),
        (["--root", "Lab={folder}"], "lower-case"),
        (["--root", "job={folder}"], "reserved"),
        (["--services", "{folder}/none"], "there is no such folder"),
    ],
)
def test_what_is_refused(
    flags: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [flag.format(folder=tmp_path) for flag in flags]
    with pytest.raises(SystemExit) as caught:
        main(["--workspace", str(tmp_path / "w"), *given])
    assert caught.value.code == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "w").exists()
