# SPDX-License-Identifier: BSD-3-Clause
"""Ctrl-C at a real terminal: the job is cancelled, or goes on."""

from __future__ import annotations

import errno
import os
import pty
import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from scripted_server import ScriptedServer, progress, state

from dl4mic_client.cli.exit_codes import ExitCode

CTRL_C = b"\x03"
PATIENCE_SECONDS = 20
# Not by preexec_fn: this process has gRPC's threads, and must not fork. What a shell runs in the background has SIGINT
# ignored, and so has what it starts.
AT_A_TERMINAL = """
import fcntl, signal, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
signal.signal(signal.SIGINT, signal.default_int_handler)
from dl4mic_client.cli import main
main()
"""
QUESTION = "cancel it, or leave it running?"


class Terminal:
    """A command that runs at a terminal of its own."""

    def __init__(self, *arguments: str) -> None:
        self._here, there = pty.openpty()
        self._process = subprocess.Popen(
            [sys.executable, "-c", AT_A_TERMINAL, *arguments],
            stdin=there,
            stdout=there,
            stderr=there,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TERM": "xterm"},
        )
        os.close(there)
        self.screen = ""

    def type(self, keys: bytes) -> None:
        os.write(self._here, keys)

    def read_until(self, text: str) -> None:
        while text not in self.screen:
            assert self._read(), f"{text!r} never came:\n{self.screen}"

    def end(self) -> int:
        while self._read():
            pass
        return self._process.wait(PATIENCE_SECONDS)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._here)

    def _read(self) -> bool:
        ready, _, _ = select.select([self._here], [], [], PATIENCE_SECONDS)
        assert ready, f"nothing more came:\n{self.screen}"
        try:
            read = os.read(self._here, 4096)
        except OSError as error:
            assert error.errno == errno.EIO  # the other end is closed
            return False
        self.screen += read.decode(errors="replace")
        return bool(read)


@pytest.fixture
def watched(server: ScriptedServer, tmp_path: Path) -> Iterator[Terminal]:
    server.script = [state("RUNNING"), progress(3)]
    server.hold = True
    (tmp_path / "images").mkdir()
    images = str(tmp_path / "images")
    terminal = Terminal(
        *("train", "mock", "--source", images, "--target", images, "--model", "n"),
        *("--job", "t1", "--server", server.unix),
    )
    terminal.read_until("3/10 epochs")
    yield terminal
    terminal.close()


def test_cancel(watched: Terminal, server: ScriptedServer) -> None:
    watched.type(CTRL_C)
    watched.read_until(QUESTION)
    watched.type(b"cancel\n")
    assert watched.end() == ExitCode.CANCELLED
    assert "Job t1 was cancelled" in watched.screen
    assert server.jobs["t1"].state == server.jobs["t1"].CANCELLED


def test_leave(watched: Terminal, server: ScriptedServer) -> None:
    watched.type(CTRL_C)
    watched.read_until(QUESTION)
    watched.type(b"\n")
    assert watched.end() == ExitCode.INTERRUPTED
    assert "dl4mic job watch t1" in watched.screen
    assert server.jobs["t1"].state == server.jobs["t1"].RUNNING


def test_a_second_ctrl_c_leaves(watched: Terminal, server: ScriptedServer) -> None:
    watched.type(CTRL_C)
    watched.read_until(QUESTION)
    watched.type(CTRL_C)
    assert watched.end() == ExitCode.INTERRUPTED
    assert "Traceback" not in watched.screen
    assert server.jobs["t1"].state == server.jobs["t1"].RUNNING


def test_all_jobs_of_a_run_are_cancelled(server: ScriptedServer, tmp_path: Path) -> None:
    server.script = [state("RUNNING"), progress(3)]
    server.hold = True
    (tmp_path / "images").mkdir()
    places = ("--source", "--target", "--test-source", "--test-target", "--predict")
    images = [word for each in places for word in (each, str(tmp_path / "images"))]
    terminal = Terminal("run", "mock", *images, "--job", "r", "--server", server.unix)
    terminal.read_until("3/10 epochs")
    terminal.type(CTRL_C)
    terminal.read_until(QUESTION)
    assert "Jobs r-train, r-qc, r-predict" in terminal.screen
    terminal.type(b"cancel\n")
    assert terminal.end() == ExitCode.CANCELLED
    assert {each.state for each in server.jobs.values()} == {server.jobs["r-qc"].CANCELLED}
    terminal.close()
