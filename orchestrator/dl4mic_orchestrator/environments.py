# SPDX-License-Identifier: BSD-3-Clause
"""Make virtual environments on first use: a locked, hashed set of packages, and our own wheels on top."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TextIO

from dl4mic_orchestrator import subprocesses
from dl4mic_orchestrator.backends.base import Progress, ServiceSpec, UnavailableError
from dl4mic_orchestrator.interpreters import find_python

LOCK_FILE = "requirements.txt"
GPU_LOCK_FILE = "requirements-gpu.txt"
SDK = "_sdk"
WHEELS = "wheels"
_REQUIREMENT = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==", re.MULTILINE)
_LAST_WORDS = 6
_LOCK_POLL_SECONDS = 0.1


class _UvError(Exception):
    """A call of uv failed; the message is its last words."""


@dataclass(frozen=True)
class Recipe:
    """What an environment is made of; one that differs in anything is another environment."""

    name: str
    lock: Path
    python_versions: tuple[str, ...]

    def key(self, source_digest: str) -> str:
        """Name the environment's folder."""
        digest = hashlib.sha256(source_digest.encode())
        digest.update(" ".join(self.python_versions).encode())
        digest.update(self.lock.read_bytes())
        return f"{self.name}-{digest.hexdigest()[:16]}"


class Environments:
    """The virtual environments of a workspace.

    Parameters
    ----------
    folder
        Holds them.
    sources
        Folders of the distributions that every environment gets besides its lock: the SDK and the contract.
    uv
        The tool that makes them; None when there is none.
    environment
        Environment variables for it.
    """

    def __init__(
        self, folder: Path, sources: Sequence[Path], uv: Path | None, environment: Mapping[str, str]
    ) -> None:
        self._folder = folder
        self._sources = tuple(sources)
        self._uv = uv
        self._environment = dict(environment)

    def python_of(self, service: ServiceSpec, *, gpu: bool, progress: Progress) -> Path:
        """Give the interpreter of a service's environment; make the environment first, if it is not there.

        Raises
        ------
        UnavailableError
            It cannot be made; the message holds uv's own words.
        """
        recipe = self._recipe_of_sdk() if service.sdk_alone else _recipe(service, gpu)
        return self._python(recipe, progress)

    def place_of(self, service: ServiceSpec, *, gpu: bool) -> Path:
        """Tell where a service's environment lies, once it is made."""
        return self._folder / _recipe(service, gpu).key(digest_of_sources(self._sources))

    def python_of_sdk(self, progress: Progress) -> Path:
        """Give the interpreter of the environment that holds the SDK alone."""
        return self._python(self._recipe_of_sdk(), progress)

    def wanted(self, services: Iterable[ServiceSpec]) -> set[Path]:
        """Name what services of today use, be it there or not: environments, and the wheels that go into them."""
        sources = digest_of_sources(self._sources)
        both = (_recipe(service, gpu) for service in services for gpu in (False, True))
        recipes = [self._recipe_of_sdk(), *both]
        keys = {recipe.key(sources) for recipe in recipes if recipe.lock.exists()}
        return {self._folder / key for key in keys} | {self._folder / WHEELS / sources}

    def _recipe_of_sdk(self) -> Recipe:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        return Recipe(SDK, self._sources[0] / LOCK_FILE, (version,))

    def _python(self, recipe: Recipe, progress: Progress) -> Path:
        if not recipe.lock.exists():
            raise _unavailable(
                f"the service {recipe.name} has no lock of its packages: {recipe.lock} is missing"
            )
        sources = digest_of_sources(self._sources)
        final = self._folder / recipe.key(sources)
        python = final / "bin" / "python"
        if not python.exists():
            with _locked(final.with_suffix(".lock"), progress):
                if not python.exists():
                    self._make(recipe, final, sources, progress)
        with suppress(OSError):  # another user may have made it
            os.utime(final)  # its last use: old ones are cleared away
        return python

    def _make(self, recipe: Recipe, final: Path, sources: str, progress: Progress) -> None:
        """Make an environment beside its place and rename it, so that a half-made one is never found."""
        packages = len(set(_REQUIREMENT.findall(recipe.lock.read_text())))
        name = "the SDK" if recipe.name == SDK else recipe.name
        progress.report(
            f"making the environment of {name}: installing {packages} packages (first use; about a minute)"
        )
        # Named after its place: whoever holds that one's lock may clear away what a crash left of it.
        partial = Path(tempfile.mkdtemp(prefix=f".{final.name}-", dir=self._folder))
        try:
            self._fill(recipe, partial, sources, progress)
            partial.rename(final)
        except _UvError as error:
            raise _unavailable(f"the environment of {name} cannot be made: {error}") from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def _fill(self, recipe: Recipe, partial: Path, sources: str, progress: Progress) -> None:
        python = find_python(recipe.python_versions, self._environment)
        self._run(
            progress,
            "venv",
            "--allow-existing",
            "--relocatable",
            "--python",
            str(python),
            str(partial),
        )
        target = ("--python", str(partial / "bin" / "python"))
        # Bytecode is compiled once, here: an interpreter that may not write it would compile at every start.
        self._run(
            progress,
            "pip",
            "sync",
            *target,
            "--require-hashes",
            "--compile-bytecode",
            str(recipe.lock),
        )
        wheels = [str(wheel) for wheel in self._wheels(sources, progress)]
        self._run(progress, "pip", "install", *target, "--no-deps", "--compile-bytecode", *wheels)

    def _wheels(self, sources: str, progress: Progress) -> list[Path]:
        folder = self._folder / WHEELS / sources
        with _locked(folder.with_suffix(".lock"), progress):
            if not folder.exists():
                self._build_wheels(folder, progress)
        return sorted(folder.glob("*.whl"))

    def _build_wheels(self, folder: Path, progress: Progress) -> None:
        prefix = f"._{WHEELS}-{folder.name}-"  # as in `_make`; no service's name begins with "_"
        with tempfile.TemporaryDirectory(prefix=prefix, dir=self._folder) as text:
            made = Path(text) / "wheels"
            for number, source in enumerate(self._sources):
                # setuptools leaves its traces where it builds; the sources stay as they are.
                copy = Path(text) / str(number)
                shutil.copytree(
                    source,
                    copy,
                    ignore=shutil.ignore_patterns("__pycache__", "build", "*.egg-info"),
                )
                self._run(progress, "build", "--wheel", "--out-dir", str(made), str(copy))
            made.rename(folder)

    @cached_property
    def _pip_settings(self) -> dict[str, str]:
        return pip_settings(self._environment)

    def _run(self, progress: Progress, *arguments: str) -> None:
        if self._uv is None:
            raise _UvError("uv is not installed; install the package 'uv' beside dl4mic")
        environment = self._environment | self._pip_settings
        status, words = subprocesses.run(
            [str(self._uv), "--no-progress", *arguments], environment, progress.check
        )
        if status:
            last = words.strip().splitlines()[-_LAST_WORDS:]
            if status < 0:
                last.append(f"uv was ended by signal {-status}")
            raise _UvError("\n".join(last))


def _recipe(service: ServiceSpec, gpu: bool) -> Recipe:
    lock = service.folder / LOCK_FILE
    if gpu and (service.folder / GPU_LOCK_FILE).exists():
        lock = service.folder / GPU_LOCK_FILE
    return Recipe(service.name, lock, service.python_versions)


def digest_of_sources(sources: Sequence[Path]) -> str:
    """Digest everything that goes into our own wheels."""
    digest = hashlib.sha256()
    for source in sources:
        for path in sorted(_files(source)):
            digest.update(str(path.relative_to(source)).encode() + b"\0")
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _files(source: Path) -> Iterator[Path]:
    yield source / "pyproject.toml"
    for path in source.rglob("*"):
        if path.suffix in (".py", ".yaml", ".ttf") and "build" not in path.parts and path.is_file():
            yield path


def pip_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """Translate what pip is set up with into uv's variables: uv does not read pip's configuration.

    A site that has told pip where its packages come from has told us, too. What is set for uv itself is left alone.
    """
    pip = _pip_configuration(environment)
    settings = {
        "UV_DEFAULT_INDEX": pip.get("index-url", ""),
        "UV_EXTRA_INDEX_URL": pip.get("extra-index-url", ""),
        "UV_FIND_LINKS": ",".join(pip.get("find-links", "").split()),
        "SSL_CERT_FILE": pip.get("cert", ""),
        # As pip does: all indexes count the same.
        "UV_INDEX_STRATEGY": "unsafe-best-match" if "extra-index-url" in pip else "",
    }
    return {name: value for name, value in settings.items() if value and name not in environment}


def _pip_configuration(environment: Mapping[str, str]) -> dict[str, str]:
    settings: dict[str, str] = {}
    for python in (sys.executable, os.path.realpath(sys.executable)):
        command = [python, "-m", "pip", "config", "list"]
        result = subprocess.run(
            command, env=dict(environment), capture_output=True, text=True, check=False
        )
        if result.returncode == 0:
            break
    # Lines are in no order: what is more special must come later.
    for section in ("global.", "install.", ":env:."):
        for line in result.stdout.splitlines():
            name, _, value = line.partition("=")
            if name.startswith(section):
                settings[name.removeprefix(section)] = " ".join(
                    value.strip("'\"").replace("\\n", " ").split()
                )
    return settings


def _unavailable(message: str) -> UnavailableError:
    hint = "It is tried again by itself; look at the network, the free disk space and the service's folder."
    return UnavailableError("ENVIRONMENT_UNAVAILABLE", message, hint)


@contextmanager
def _locked(path: Path, progress: Progress) -> Iterator[None]:
    """Keep other threads and processes out."""
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        with path.open("w") as file:
            if _try_lock(file) and _is_at(file, path):
                yield
                return
        progress.check()
        time.sleep(_LOCK_POLL_SECONDS)


@contextmanager
def unused(place: Path) -> Iterator[bool]:
    """Keep an environment, or wheels, from being made meanwhile; False where somebody makes it now."""
    path = place.with_suffix(".lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        free = _try_lock(file) and _is_at(file, path)
        yield free
        if free:
            path.unlink()


def _try_lock(file: TextIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(file: TextIO, path: Path) -> bool:
    """Say whether an open file is still the one of its name: a lock that was cleared away keeps nobody out."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
