# SPDX-License-Identifier: BSD-3-Clause
"""Call a container engine, podman or docker, by its command line, which both have alike."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path

from dl4mic_orchestrator import subprocesses

ENGINES = ("podman", "docker")
_ABSENT = ("no such container", "no container with name or id", "no such object")
_LAST_WORDS = 3
_PATIENCE_SECONDS = 300.0
"""For a command; one that hangs would hold up all jobs, not its own alone."""


class EngineError(OSError):
    """The engine refused or failed; the message is its own last words."""


class AbsentError(EngineError):
    """There is no such container."""


def find_engine(name: str = "") -> str:
    """Find the program of an engine: of the one that is named, else of the first that is there.

    Raises
    ------
    ValueError
        It is not installed.
    """
    for each in [name] if name else ENGINES:
        found = shutil.which(each)
        if found:
            return found
    wanted = name or " nor ".join(ENGINES)
    raise ValueError(f"--backend container: there is no {wanted} on the PATH; install one of them")


class Engine:
    """One container engine of this machine.

    Parameters
    ----------
    program
        Of podman or docker.
    environment
        Environment variables for it.
    """

    def __init__(self, program: str, environment: Mapping[str, str]) -> None:
        self._program = program
        self._environment = dict(environment)

    @property
    def name(self) -> str:
        """Name it: podman or docker."""
        return Path(self._program).name

    @cached_property
    def user_options(self) -> tuple[str, ...]:
        """Say how a container runs as our user, so that what it writes is ours, and it writes nothing of others."""
        user = f"{os.getuid()}:{os.getgid()}"
        if self.name == "podman":
            return ("--user", user) if os.getuid() == 0 else ("--user", user, "--userns=keep-id")
        # Of a rootless docker, the container's root is our user.
        options = self.run("info", "--format", "{{.SecurityOptions}}")
        return ("--user", "0:0" if "name=rootless" in options else user)

    def run(self, *arguments: str, folder: Path | None = None) -> str:
        """Run a command of it, and return what it printed.

        Parameters
        ----------
        folder
            To run it in: podman's monitor of a container leaves files there.

        Raises
        ------
        AbsentError
            There is no such container.
        EngineError
            It failed otherwise.
        """
        try:
            done = subprocess.run(
                [self._program, *arguments],
                cwd=folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                timeout=_PATIENCE_SECONDS,
            )
        except subprocess.TimeoutExpired:
            words = f"{self.name} {arguments[0]} has not ended within {_PATIENCE_SECONDS:g} s"
            raise EngineError(words) from None
        except OSError as error:
            raise EngineError(f"{self.name} cannot be started: {error}") from error
        if done.returncode:
            raise _error(done.stderr)
        return done.stdout.strip()

    def has_image(self, image: str) -> bool:
        """Say whether an image is there."""
        try:
            self.run("image", "inspect", "--format", "{{.Id}}", image)
        except EngineError:
            return False
        return True

    def pull(self, image: str, check: Callable[[], None]) -> None:
        """Fetch an image.

        Parameters
        ----------
        check
            Called now and then; when it raises, the fetching is ended.

        Raises
        ------
        EngineError
            It cannot be had.
        """
        command = [self._program, "pull", "--quiet", image]
        status, words = subprocesses.run(command, self._environment, check)
        if status:
            raise _error(words)


def _error(words: str) -> EngineError:
    last = "\n".join(words.strip().splitlines()[-_LAST_WORDS:])
    kind = AbsentError if any(each in last.lower() for each in _ABSENT) else EngineError
    return kind(last or "it failed and did not say why")
