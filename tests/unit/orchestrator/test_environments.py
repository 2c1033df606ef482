# SPDX-License-Identifier: BSD-3-Clause
"""Environments: keyed by what they are made of, made once, whole or not at all."""

from __future__ import annotations

import os
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from dl4mic_orchestrator import environments
from dl4mic_orchestrator.backends.base import ServiceSpec, UnavailableError
from dl4mic_orchestrator.environments import Environments, pip_settings
from dl4mic_orchestrator.interpreters import find_python

VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
UV = """#!/bin/sh
echo "$@" >> {calls}
case "$*" in
  *sync*) {on_sync} ;;
  *venv*) for last; do :; done; mkdir -p $last/bin; ln -s /bin/sh $last/bin/python ;;
  *build*) mkdir -p $5; touch $5/one.whl ;;
esac
"""


class Waiter:
    """Reads along, and may give up."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self.gone = False

    def report(self, words: str) -> None:
        self.words.append(words)

    def check(self) -> None:
        if self.gone:
            raise InterruptedError


@pytest.fixture
def service(tmp_path: Path) -> ServiceSpec:
    folder = tmp_path / "service"
    folder.mkdir()
    (folder / "requirements.txt").write_text("numpy==2.0\nscipy==1.0\n")
    return ServiceSpec("blur", folder, (VERSION,))


def make(tmp_path: Path, on_sync: str = ":") -> Environments:
    source = tmp_path / "source"
    source.mkdir(exist_ok=True)
    (source / "pyproject.toml").touch()
    uv = tmp_path / "uv"
    uv.write_text(UV.format(calls=tmp_path / "calls", on_sync=on_sync))
    uv.chmod(0o755)
    (tmp_path / "environments").mkdir(exist_ok=True)
    return Environments(tmp_path / "environments", [source], uv, os.environ)


def syncs(tmp_path: Path) -> int:
    return (tmp_path / "calls").read_text().count(" sync ")


def test_an_environment_is_made_once(tmp_path: Path, service: ServiceSpec) -> None:
    made, waiter = make(tmp_path), Waiter()
    python = made.python_of(service, gpu=False, progress=waiter)
    assert python.exists() and made.python_of(service, gpu=False, progress=waiter) == python
    assert syncs(tmp_path) == 1
    assert waiter.words == [
        "making the environment of blur: installing 2 packages (first use; about a minute)"
    ]
    assert "--require-hashes" in (tmp_path / "calls").read_text()
    assert "--no-deps --compile-bytecode" in (tmp_path / "calls").read_text()


def test_what_needs_the_sdk_alone_gets_its_environment(
    tmp_path: Path, service: ServiceSpec
) -> None:
    made, waiter = make(tmp_path), Waiter()
    (tmp_path / "source" / "requirements.txt").write_text("numpy==2.0\n")
    alone = replace(service, sdk_alone=True)
    python = made.python_of(alone, gpu=True, progress=waiter)
    assert python == made.python_of_sdk(waiter)
    assert [each.partition(":")[0] for each in waiter.words] == [
        "making the environment of the SDK"
    ]


def test_what_differs_is_another_environment(tmp_path: Path, service: ServiceSpec) -> None:
    made = make(tmp_path)
    found = {made.python_of(service, gpu=False, progress=Waiter())}
    (service.folder / "requirements-gpu.txt").write_text("numpy==2.1\n")
    found.add(made.python_of(service, gpu=False, progress=Waiter()))
    found.add(made.python_of(service, gpu=True, progress=Waiter()))
    (tmp_path / "source" / "new.py").touch()
    found.add(made.python_of(service, gpu=False, progress=Waiter()))
    (service.folder / "requirements.txt").write_text("numpy==2.2\n")
    found.add(made.python_of(service, gpu=False, progress=Waiter()))
    assert len(found) == 4


def test_two_that_need_it_at_once_make_it_once(tmp_path: Path, service: ServiceSpec) -> None:
    made = make(tmp_path, on_sync="sleep 0.3")
    threads = [
        threading.Thread(
            target=made.python_of, args=(service,), kwargs={"gpu": False, "progress": Waiter()}
        )
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert syncs(tmp_path) == 1


def test_what_uv_says_is_passed_on_and_nothing_stays(tmp_path: Path, service: ServiceSpec) -> None:
    made = make(tmp_path, on_sync="echo 'no such wheel: numpy 2.0' >&2; exit 1")
    with pytest.raises(UnavailableError, match="no such wheel: numpy") as caught:
        made.python_of(service, gpu=False, progress=Waiter())
    assert caught.value.code == "ENVIRONMENT_UNAVAILABLE"
    assert [path.name for path in (tmp_path / "environments").iterdir() if path.is_dir()] == []


def test_a_uv_that_was_killed_is_told_so_after_its_last_words(
    tmp_path: Path, service: ServiceSpec
) -> None:
    made = make(tmp_path, on_sync="echo 'Resolved 2 packages' >&2; kill -9 $$")
    with pytest.raises(UnavailableError, match="Resolved 2 packages\nuv was ended by signal 9"):
        made.python_of(service, gpu=False, progress=Waiter())


def test_whoever_gives_up_leaves_nothing(tmp_path: Path, service: ServiceSpec) -> None:
    made, waiter = make(tmp_path, on_sync="sleep 60"), Waiter()
    threading.Timer(0.3, lambda: setattr(waiter, "gone", True)).start()
    with pytest.raises(InterruptedError):
        made.python_of(service, gpu=False, progress=waiter)
    assert [path for path in (tmp_path / "environments").iterdir() if path.is_dir()] == []


def test_a_service_without_a_lock_is_told_so(tmp_path: Path, service: ServiceSpec) -> None:
    (service.folder / "requirements.txt").unlink()
    with pytest.raises(UnavailableError, match=r"requirements\.txt is missing"):
        make(tmp_path).python_of(service, gpu=False, progress=Waiter())


def test_without_uv_the_message_says_what_to_install(tmp_path: Path, service: ServiceSpec) -> None:
    (tmp_path / "environments").mkdir()
    made = Environments(tmp_path / "environments", [service.folder], None, os.environ)
    (service.folder / "pyproject.toml").touch()
    with pytest.raises(UnavailableError, match="install the package 'uv'"):
        made.python_of(service, gpu=False, progress=Waiter())


def test_pips_settings_are_handed_to_uv(monkeypatch: pytest.MonkeyPatch) -> None:
    pip = {"extra-index-url": "http://a http://b", "find-links": "/w /v", "cert": "/c.pem"}
    monkeypatch.setattr(environments, "_pip_configuration", lambda _environment: pip)
    assert pip_settings({"SSL_CERT_FILE": "/mine"}) == {
        "UV_EXTRA_INDEX_URL": "http://a http://b",
        "UV_FIND_LINKS": "/w,/v",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
    }


def test_what_is_set_up_in_pips_environment_is_read() -> None:
    found = pip_settings(
        {**os.environ, "PIP_FIND_LINKS": "/some/wheels", "PIP_CONFIG_FILE": os.devnull}
    )
    assert found["UV_FIND_LINKS"] == "/some/wheels"


def test_pyenv_is_searched_by_prefix(tmp_path: Path) -> None:
    for name in (f"{VERSION}.2", f"{VERSION}.10", "2.7.18"):
        folder = tmp_path / "versions" / name / "bin"
        folder.mkdir(parents=True)
        (folder / "python").symlink_to(sys.executable)
    found = find_python(("2.7", VERSION), {"PYENV_ROOT": str(tmp_path), "PATH": ""})
    assert found == str(tmp_path / "versions" / f"{VERSION}.10" / "bin" / "python")


def test_a_python_that_is_not_there_is_left_to_uv(tmp_path: Path) -> None:
    assert find_python(("3.6",), {"PYENV_ROOT": str(tmp_path), "PATH": ""}) == "3.6"
