# SPDX-License-Identifier: BSD-3-Clause
"""Runs every test, each in the environment that it needs, and sums up: ``make test``.

The last lines say what was skipped and why, how long each part took, what failed, and how many tests passed, failed
or were skipped.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from dl4mic.manifest import read_service

sys.path.insert(0, str(Path(__file__).resolve().parent))
import container_engine
import environments
from servers import SERVICE_PYTHON

import demo

ROOT = Path(__file__).resolve().parents[1]
SDK_LOCK = ROOT / "services" / "_sdk" / "requirements.txt"
SDK_PYTHONS = ("3.7", "3.9", "3.11", "3.13")
"""That SDK and stubs are tested under, with the SDK's own lock; the one that runs this tests them with its own."""

SPREAD = ("--numprocesses", str(min(4, os.cpu_count() or 1)), "--dist", "loadfile")
"""Tests that wait for servers are run side by side, those of one file in one process."""

AT_ONCE = 2
"""Parts side by side: most of them take one core, and wait for servers half of their time."""

QUICK = ("architecture", "unit", "contract", "images", "chart")
SCHEDULES = "tests/unit/orchestrator/test_schedules.py"
"""Takes as long as half of the quick ones, and is one file, which one process would be left with."""

RUNNING = "{}.{}".format(*sys.version_info)

IMAGES = ("dl4mic-orchestrator", "dl4mic-fakes", demo.image_of(demo.network_of_the_readme()))
"""That tests run, in containers and on a cluster; all others are built alike."""

CLUSTER_SECONDS = "1800"
"""For one test on a cluster, which the first one starts."""

PART_SECONDS = "2400"
"""Twice what the longest part takes: one whose server hangs names what failed, instead of waiting in each test."""

COUNT = re.compile(r"(\d+) (passed|failed|skipped|error)")


@dataclass
class Part:
    """One run of pytest, or one command that passes or fails as a whole."""

    name: str
    seconds: float = 0.0
    counts: dict[str, int] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


def pytest(name: str, python: Path, *arguments: str, **variables: str) -> Part:
    """Run pytest with an interpreter, and count; what it says is shown when it has ended: others run beside it."""
    environment = {**os.environ, **variables}
    if str(python) != sys.executable:
        environment["PYTHONPATH"] = environments.source_path()
    print(f"... {name}", flush=True)
    started = time.monotonic()
    command = [str(python), "-m", "pytest", "--session-timeout", PART_SECONDS, *arguments]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    said = done.stdout.decode("utf-8", "replace")
    print(f"\n=== {name}\n{said}", flush=True)
    return _counted(Part(name, time.monotonic() - started), said.splitlines(), done.returncode)


def _counted(part: Part, said: list[str], status: int) -> Part:
    """Read what pytest has summed up."""
    part.skipped = [line for line in said if line.startswith("SKIPPED")]
    part.failed = [line for line in said if line.startswith(("FAILED", "ERROR "))]
    sums = [line for line in said if COUNT.search(line) and " in " in line]
    part.counts = {kind: int(number) for number, kind in COUNT.findall(sums[-1] if sums else "")}
    if status not in (0, 5) and not {"failed", "error"} & set(part.counts):
        part.counts["failed"] = 1
    return part


def missing(name: str, reason: Exception) -> Part:
    """A part that this machine cannot run: a failure in CI, else a skip with its reason."""
    return _not_run(name, "failed" if os.environ.get("CI") else "skipped", reason)


def _not_run(name: str, kind: str, reason: Exception) -> Part:
    print(f"\n=== {name}: {kind}: {reason}", flush=True)
    part = Part(name, counts={kind: 1})
    getattr(part, kind).append(f"{kind.upper()} {name}: {reason}")
    return part


def images() -> Part:
    """Build the images that tests run; where nothing can be built, those tests are skipped."""
    print("... images", flush=True)
    started = time.monotonic()
    # Without the tool, what they are built on comes from a registry, which not every machine reaches.
    kind = "skipped"
    try:
        container_engine.prepare()
        kind = "failed" if os.environ.get("CI") and container_engine.has_tool() else kind
        container_engine.build_images(*IMAGES)
    except container_engine.NoEngine as reason:
        return _not_run("images that tests run", kind, reason)
    return Part("images that tests run", time.monotonic() - started, {"passed": len(IMAGES)})


def parts() -> list[Part]:
    """Run everything: what the rest needs first, then the rest side by side."""
    cluster = ("-m", "not slow", "--timeout", CLUSTER_SECONDS, "tests/cluster")
    first = [
        partial(
            _here, ", ".join(QUICK), *SPREAD, "--ignore", SCHEDULES, *map("tests/{}".format, QUICK)
        ),
        images,
    ]
    variables, absent = _peers()
    rest = [
        partial(_here, "cluster", *cluster),
        partial(_here, "integration", "tests/integration"),
        partial(_here, "documentation", "tests/docs"),
        partial(_here, "schedules", SCHEDULES),
        *(partial(_service, folder, variables) for folder in _service_folders()),
        *(partial(_sdk_under, each) for each in SDK_PYTHONS if each != RUNNING),
        partial(_service_under, SDK_PYTHONS[0]),
    ]
    return [*absent, *_side_by_side(first), *_side_by_side(rest)]


def _side_by_side(parts: Sequence[Callable[[], Part]]) -> list[Part]:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(lambda part: part(), parts))


def _here(name: str, *arguments: str) -> Part:
    return pytest(name, Path(sys.executable), *arguments)


def _service_folders() -> list[Path]:
    """List the services, those of the fakes last: they are quick."""
    manifests = [*ROOT.glob("services/*/service.yaml"), *ROOT.glob("tests/fakes/*/service.yaml")]
    return [each.parent for each in manifests]


def _sdk_under(version: str) -> Part:
    name = f"SDK and stubs under Python {version}"
    try:
        python = environments.make(SDK_LOCK, version)
    except environments.MissingPython as reason:
        return missing(name, reason)
    return pytest(name, python, "tests/unit/sdk", "tests/unit/proto")


def _service_under(version: str) -> Part:
    """Run the contract suite against a service whose host and worker are an old Python's."""
    name = f"contract, the service under Python {version}"
    try:
        python = environments.make(SDK_LOCK, version)
    except environments.MissingPython as reason:
        return missing(name, reason)
    variables = {SERVICE_PYTHON: str(python), "PYTHONPATH": environments.source_path()}
    return pytest(name, Path(sys.executable), "tests/contract", "-k", "service", **variables)


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
    for line in [line for part in done for line in part.failed]:
        print(line)
    failed = total["failed"] + total["error"]
    print(f"{total['passed']} passed, {failed} failed, {total['skipped']} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
