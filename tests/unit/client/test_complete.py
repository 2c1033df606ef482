# SPDX-License-Identifier: BSD-3-Clause
"""Completion in real shells: names that the server knows, and silence where it does not answer."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from scripted_server import ScriptedServer

from dl4mic.v1 import job_pb2, model_pb2


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A folder with a command `dl4mic`, as an installation puts one on the PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    command = folder / "dl4mic"
    command.write_text(
        f"#!{sys.executable}\nfrom dl4mic_client.cli import main\nmain(prog_name='dl4mic')\n"
    )
    command.chmod(0o755)
    return folder


def shell(
    program: Path, name: str, script: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join([str(program), os.environ["PATH"]])
    return subprocess.run(
        [name, "-c", script],
        env={**os.environ, "PATH": paths, "PYTHONPATH": os.pathsep.join(sys.path), **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def complete(program: Path, *words: str, **variables: str) -> list[str]:
    """Press the tabulator behind the words, in bash with its script loaded."""
    script = f"""
        eval "$(dl4mic completion bash)"
        COMP_WORDS=(dl4mic {" ".join(repr(each) for each in words)})
        COMP_CWORD={len(words)}
        _dl4mic_completion dl4mic
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = shell(program, "bash", script, **variables)
    assert done.stderr == ""
    return done.stdout.split()


def test_commands_and_options(program: Path) -> None:
    assert complete(program, "comp") == ["completion"]
    assert "--dry-run" in complete(program, "train", "--d")


def test_names_that_the_server_knows(program: Path, server: ScriptedServer) -> None:
    server.models["nuclei"] = model_pb2.Model(name="nuclei", version=2, network="mock")
    server.jobs["t1"] = job_pb2.Job(id="t1")
    known = {"DL4MIC_SERVER": server.unix}
    assert complete(program, "train", "mo", **known) == ["mock"]
    assert complete(program, "predict", "nu", **known) == ["nuclei", "nuclei:2"]
    assert complete(program, "job", "show", "t", **known) == ["t1"]
    assert complete(program, "job", "watch", "--server", server.unix, "") == ["t1"]


def test_no_server_means_no_words_and_no_wait(program: Path, tmp_path: Path) -> None:
    nowhere = f"unix://{tmp_path}/none"
    assert complete(program, "train", "mo", DL4MIC_SERVER=nowhere) == []
    assert complete(program, "train", "mo") == []
    assert not (tmp_path / "workspace").exists(), "an embedded server is not started for this"


@pytest.mark.skipif(shutil.which("zsh") is None, reason="this machine has no zsh")
def test_zsh_takes_its_script(program: Path) -> None:
    script = (
        'autoload -U compinit; compinit -D; eval "$(dl4mic completion zsh)"; echo ${_comps[dl4mic]}'
    )
    done = shell(program, "zsh", script)
    assert (done.stdout.strip(), done.stderr) == ("_dl4mic_completion", "")


def test_the_script_of_zsh_is_printed_without_zsh(program: Path) -> None:
    done = shell(program, "bash", "dl4mic completion zsh")
    assert "compdef _dl4mic_completion dl4mic" in done.stdout
