# SPDX-License-Identifier: BSD-3-Clause
"""Runs every test, each in the environment that it needs, and sums up: ``make test``.

The last lines say what was skipped and why, how long each part took, and how many tests passed, failed or were
skipped.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from dl4mic.manifest import read_service

sys.path.insert(0, str(Path(__file__).resolve().parent))
import environments
from servers import SERVICE_PYTHON

ROOT = Path(__file__).resolve().parents[1]
SDK_LOCK = ROOT / "services" / "_sdk" / "requirements.txt"
SDK_PYTHONS = ("3.7", "3.9", "3.11", "3.13")
"""That SDK and stubs are tested under, with the SDK's own lock; the one that runs this tests them with its own."""

SPREAD = ("--numprocesses", str(min(4, os.cpu_count() or 1)), "--dist", "loadfile")
"""Tests that wait for servers are run side by side, those of one file in one process."""

AT_ONCE = 2
"""Of the runs under several Pythons: most of their time goes into one core."""

COUNT = re.compile(r"(\d+) (passed|failed|skipped|error)")


@dataclass
class Part:
    """One run of pytest, or one command that passes or fails as a whole."""

    name: str
    seconds: float = 0.0
    counts: dict[str, int] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)


def pytest(name: str, python: Path, *arguments: str, **variables: str) -> Part:
    """Run pytest with an interpreter, show what it says, and count."""
    print(f"\n=== {name}", flush=True)
    return _run(Part(name), *_pytest(python, *arguments, **variables))


def pytest_quietly(name: str, python: Path, *arguments: str) -> Part:
    """Run pytest beside others; what it says is shown when it has ended."""
    said: list[str] = []
    part = _run(Part(name), *_pytest(python, *arguments), said.append)
    print("\n".join([f"\n=== {name}", *said]), flush=True)
    return part


def _pytest(python: Path, *arguments: str, **variables: str) -> tuple[list[str], dict[str, str]]:
    environment = {**os.environ, **variables}
    if str(python) != sys.executable:
        environment["PYTHONPATH"] = environments.source_path()
    return [str(python), "-m", "pytest", *arguments], environment


def command(name: str, *arguments: str) -> Part:
    """Run a command that is a test as a whole."""
    print(f"\n=== {name}", flush=True)
    part = _run(Part(name), list(arguments), dict(os.environ))
    if not part.counts:
        part.counts["passed"] = 1
    return part


def _run(
    part: Part,
    arguments: list[str],
    environment: dict[str, str],
    show: Callable[[str], object] = lambda line: print(line, flush=True),
) -> Part:
    started = time.monotonic()
    process = subprocess.Popen(
        arguments, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert process.stdout is not None
    last = ""
    for raw in process.stdout:
        line = raw.decode("utf-8", "replace").rstrip("\n")
        show(line)
        if line.startswith("SKIPPED"):
            part.skipped.append(line)
        if COUNT.search(line) and " in " in line:
            last = line
    status = process.wait()
    part.seconds = time.monotonic() - started
    part.counts = {kind: int(number) for number, kind in COUNT.findall(last)}
    if status not in (0, 5) and not part.counts.get("failed"):
        part.counts["failed"] = 1
    return part


def missing(name: str, reason: Exception) -> Part:
    """A part that this machine cannot run: a failure in CI, else a skip with its reason."""
    kind = "failed" if os.environ.get("CI") else "skipped"
    print(f"\n=== {name}: {kind}: {reason}", flush=True)
    return Part(name, counts={kind: 1}, skipped=[f"SKIPPED {name}: {reason}"])


def parts() -> list[Part]:
    """Run everything, the quick parts first."""
    here = Path(sys.executable)
    done = [
        pytest(
            "architecture, unit, contract",
            here,
            *SPREAD,
            "tests/architecture",
            "tests/unit",
            "tests/contract",
        )
    ]
    done.append(pytest("integration", here, "tests/integration"))
    running = "{}.{}".format(*sys.version_info)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        done += pool.map(_sdk_under, [each for each in SDK_PYTHONS if each != running])
    done.append(_service_under(SDK_PYTHONS[0]))
    variables, absent = _peers()
    done += absent
    for manifest in sorted(
        [*ROOT.glob("tests/fakes/*/service.yaml"), *ROOT.glob("services/*/service.yaml")]
    ):
        done.append(_service(manifest.parent, variables))
    done.append(pytest("documentation", here, "tests/docs"))
    return done


def _sdk_under(version: str) -> Part:
    name = f"SDK and stubs under Python {version}"
    try:
        python = environments.make(SDK_LOCK, version)
    except environments.MissingPython as reason:
        return missing(name, reason)
    return pytest_quietly(name, python, "tests/unit/sdk", "tests/unit/proto")


def _service_under(version: str) -> Part:
    """Run the contract suite against a service whose host and worker are an old Python's."""
    name = f"contract, the service under Python {version}"
    try:
        python = environments.make(SDK_LOCK, version)
    except environments.MissingPython as reason:
        return missing(name, reason)
    variables = {SERVICE_PYTHON: str(python), "PYTHONPATH": environments.source_path()}
    arguments = (*SPREAD, "tests/contract", "-k", "service")
    return pytest(name, Path(sys.executable), *arguments, **variables)


def _service(folder: Path, variables: Mapping[str, str]) -> Part:
    name = f"service {folder.name}"
    service = read_service(folder)
    for version in service.python_versions:
        try:
            python = environments.make(folder / "requirements.txt", version)
        except environments.MissingPython as error:
            reason = error
            continue
        return pytest(name, python, str((folder / "tests").relative_to(ROOT)), **variables)
    return missing(name, reason)


def _peers() -> tuple[dict[str, str], list[Part]]:
    """Make the environments of other programs that services' tests ask (``tests/services/peers/NAME-PYTHON``).

    Returns
    -------
    tuple
        Variables that name their Pythons for the tests, and what could not be made.
    """
    variables, absent = {}, []
    for lock in sorted(ROOT.glob("tests/services/peers/*/requirements.txt")):
        name, _, version = lock.parent.name.rpartition("-")
        try:
            variables[f"PEER_{name.upper()}"] = str(environments.make(lock, version))
        except (environments.MissingPython, subprocess.CalledProcessError) as reason:
            variables[f"PEER_{name.upper()}_MISSING"] = str(reason)
            absent.append(missing(f"{name}, asked by tests of services", reason))
    return variables, absent


def main() -> int:
    started = time.monotonic()
    done = parts()
    print("\n=== what was skipped")
    for line in [line for part in done for line in part.skipped] or ["nothing"]:
        print(line)
    print("\n=== how long it took")
    for part in done:
        print(
            f"{part.seconds:7.0f} s  {part.name}: {', '.join(f'{n} {kind}' for kind, n in part.counts.items())}"
        )
    total = {
        kind: sum(part.counts.get(kind, 0) for part in done)
        for kind in ("passed", "failed", "error", "skipped")
    }
    print(f"{time.monotonic() - started:7.0f} s  in all\n")
    failed = total["failed"] + total["error"]
    print(f"{total['passed']} passed, {failed} failed, {total['skipped']} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
