# SPDX-License-Identifier: BSD-3-Clause
"""The user's embedded orchestrator: found by its Unix socket, or started in the background."""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc

from dl4mic_client import address as addresses
from dl4mic_client.address import Address
from dl4mic_client.errors import ClientError, Unreachable

IDLE_SECONDS = 60
"""The orchestrator ends by itself after so long without jobs and clients."""

_LONGEST_SOCKET_PATH_BYTES = 100  # the kernel's limit is 107
_START_TIMEOUT_SECONDS = 60.0
_PROBE_TIMEOUT_SECONDS = 15.0  # one that is there may be busy; one that is not is known at once
_PAUSES_SECONDS = (0.5, 1.0, 0.0)
_POLL_SECONDS = 0.05
_LOG_LINES_SHOWN = 8
_PRIVATE = 0o700
_OTHERS = 0o077
_HEALTH_CHECK = "/grpc.health.v1.Health/Check"
# HealthCheckRequest() is empty and HealthCheckResponse(status=SERVING) is field 1 = 1: said here
# by hand, so that no further package is needed for one byte.
_SERVING = b"\x08\x01"


@dataclass(frozen=True)
class Embedded:
    """Where this user's orchestrator lives.

    Attributes
    ----------
    workspace : Path
        Folder of all its files.
    services : str
        Folder of the services; empty for the orchestrator's own default.
    """

    workspace: Path
    services: str = ""

    @classmethod
    def of_environment(cls) -> Embedded:
        """Read DL4MIC_WORKSPACE and DL4MIC_SERVICES, with their defaults."""
        services = os.environ.get("DL4MIC_SERVICES", "")
        return cls(workspace_folder(), str(Path(services).resolve()) if services else "")

    @property
    def socket(self) -> Path:
        """The Unix socket, in a folder that only this user can enter."""
        usual = self.workspace / "server.sock"
        if len(os.fsencode(usual)) <= _LONGEST_SOCKET_PATH_BYTES and _is_private(self.workspace):
            return usual
        key = hashlib.sha256(os.fsencode(self.workspace)).hexdigest()[:16]
        return _runtime_folder() / f"dl4mic-{os.getuid()}-{key}" / "server.sock"

    @property
    def address(self) -> Address:
        """Address of the orchestrator."""
        return addresses.of_socket(str(self.socket))

    @property
    def log(self) -> Path:
        """Where the orchestrator's output goes."""
        return self.workspace / "server.log"

    def ensure(self) -> None:
        """Return when the orchestrator answers, having started it if it did not run.

        Raises
        ------
        Unreachable
            It cannot be started; the message shows the end of its log.
        """
        self._make_folders()
        if _is_serving(self.address):
            return
        with self._one_starter():
            if not _is_serving(self.address):  # another command may have started it meanwhile
                self._start()

    def _make_folders(self) -> None:
        try:
            self.workspace.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
            folder = self.socket.parent
            folder.mkdir(mode=_PRIVATE, exist_ok=True)
        except OSError as fault:
            raise ClientError(
                f"The workspace {self.workspace} cannot be made: {fault.strerror}.",
                "Set DL4MIC_WORKSPACE to a folder that you may write to.",
            ) from fault
        if not _is_private(folder):
            raise ClientError(
                f"{folder} can be opened by others; a server there would obey them.",
                f"Make it your own and private: chmod 700 {folder}",
            )

    @contextmanager
    def _one_starter(self) -> Iterator[None]:
        with (self.workspace / "server.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # let go when the file closes, even by a crash
            yield

    def _start(self) -> None:
        if importlib.util.find_spec("dl4mic_orchestrator") is None:
            raise Unreachable(
                "No server was named, and the orchestrator is not installed here to start one.",
                "Install dl4mic[server], or name a server with --server or DL4MIC_SERVER.",
            )
        for pause in _PAUSES_SECONDS:
            if self._launch():
                return
            # One that was just ending may still have held the workspace.
            time.sleep(pause)
        raise Unreachable(
            f"The server ended while it started:\n{self._end_of_log()}", self._where()
        )

    def _launch(self) -> bool:
        """Start a process; say whether it came to answer, or ended."""
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                self._command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.workspace,
                start_new_session=True,  # a Ctrl-C at the terminal is not for the server
            )
        deadline = time.monotonic() + _START_TIMEOUT_SECONDS
        while process.poll() is None:
            if self.socket.exists() and _is_serving(self.address):
                return True
            if time.monotonic() > deadline:
                process.terminate()
                raise Unreachable("The server takes too long to start.", self._where())
            time.sleep(_POLL_SECONDS)
        return _is_serving(self.address)

    def _command(self) -> list[str]:
        command = [sys.executable, "-m", "dl4mic_orchestrator"]
        command += ["--socket", str(self.socket), "--workspace", str(self.workspace)]
        if self.services:
            command += ["--services", self.services]
        return [*command, "--exit-when-idle", str(IDLE_SECONDS)]

    def _where(self) -> str:
        return f"All that it said is in {self.log}."

    def _end_of_log(self) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(f"  {line}" for line in lines[-_LOG_LINES_SHOWN:])


def workspace_folder() -> Path:
    """Return DL4MIC_WORKSPACE, or the user's data folder for dl4mic."""
    named = os.environ.get("DL4MIC_WORKSPACE", "")
    if named:
        return Path(named).expanduser().absolute()
    data = os.environ.get("XDG_DATA_HOME", "") or "~/.local/share"
    return Path(data).expanduser().absolute() / "dl4mic"


def _runtime_folder() -> Path:
    return Path(os.environ.get("XDG_RUNTIME_DIR", "") or tempfile.gettempdir())


def _is_private(folder: Path) -> bool:
    try:
        status = folder.lstat()
    except OSError:
        return True  # not there yet; it will be made private
    return status.st_uid == os.getuid() and not status.st_mode & _OTHERS


def _is_serving(address: Address) -> bool:
    with grpc.insecure_channel(address.target) as channel:
        check = channel.unary_unary(_HEALTH_CHECK, bytes, bytes)
        try:
            return bool(check(b"", timeout=_PROBE_TIMEOUT_SECONDS) == _SERVING)
        except grpc.RpcError:
            return False
