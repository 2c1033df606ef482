# SPDX-License-Identifier: BSD-3-Clause
"""The flags: what is dangerous must be said."""

from __future__ import annotations

from pathlib import Path

import pytest

from dl4mic_orchestrator.__main__ import main
from dl4mic_orchestrator.settings import instance_environment, is_loopback, store_place


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
        (["--listen", "0.0.0.0:0"], "--tls-certificate, --tls-key and --tokens"),
        (["--listen", "0.0.0.0:0", "--tokens", "t"], "everybody who reaches this address"),
        (["--tls-certificate", "c"], "belong together"),
        (["--socket", "{folder}/s", "--tokens", "t"], "for its user alone"),
        (["--root", "lab"], "expected NAME=DIR"),
        (["--root", "Lab={folder}"], "lower-case"),
        (["--root", "job={folder}"], "reserved"),
        (["--services", "{folder}/none"], "there is no such folder"),
        (["--warm-instances", "blur=0"], "expected SERVICE=N, N from 1"),
        (["--warm-instances", "2"], "expected SERVICE=N, N from 1"),
        (["--backend", "container"], "name the services' images by --images"),
        (["--backend", "container", "--images", "{folder}/none"], "none: cannot be read"),
        (["--backend", "kubernetes", "--images", "{folder}/i.yaml"], "by --kubernetes FILE"),
        (
            ["--backend=kubernetes", "--images={folder}/i.yaml", "--kubernetes={folder}/k.yaml"],
            "data_roots.lab: no --root lab=DIR",
        ),
    ],
)
def test_what_is_refused(
    flags: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "i.yaml").write_text("blur: {cpu: 'blur:1'}")
    (tmp_path / "k.yaml").write_text(
        "{namespace: n, workspace: {claim: w}, data_roots: {lab: {claim: l}}}"
    )
    given = [flag.format(folder=tmp_path) for flag in flags]
    with pytest.raises(SystemExit) as caught:
        main(["--workspace", str(tmp_path / "w"), *given])
    assert caught.value.code == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "w").exists()


def test_secrets_are_not_handed_on_and_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DL4MIC_STORE_URL", "postgresql://u:hush@h/d")
    monkeypatch.setenv("DL4MIC_TOKEN", "hush")
    assert "hush" not in "".join(instance_environment().values())
    assert store_place(tmp_path, None) == "postgresql://u:hush@h/d"
    assert store_place(tmp_path, "sqlite:////s") == "sqlite:////s"
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "hush" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("mysql://u:hush@h/d", "expected sqlite:////FOLDER/FILE"),
        ("postgresql://u:hush@127.0.0.1:1/d", "the store cannot be reached"),
    ],
)
def test_a_store_that_cannot_be_had_is_named_without_its_password(
    tmp_path: Path, url: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "services").mkdir()
    flags = ["--services", str(tmp_path / "services"), "--workspace", str(tmp_path / "w")]
    assert main([*flags, "--store", url]) == 1
    said = capsys.readouterr().err
    assert words in said and "hush" not in said
