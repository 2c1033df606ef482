# SPDX-License-Identifier: BSD-3-Clause
"""Findings: what is good, a caution or a fault, and that each bad one says what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from dl4mic.v1.maintenance_pb2 import Finding
from dl4mic_orchestrator import diagnosis
from dl4mic_orchestrator.backends.nvml import driver_versions
from dl4mic_orchestrator.diagnosis import EnvironmentFacts
from dl4mic_orchestrator.examination import cgroup_limit, file_system
from dl4mic_orchestrator.records import Gpu

GOOD, CAUTION, FAULT = Finding.GOOD, Finding.CAUTION, Finding.FAULT
GIB = 1 << 30
CARD = Gpu(0, "RTX", 12 * GIB, (8, 6))
VERSIONS = ("3.11", "3.12")


@pytest.mark.parametrize(
    ("finding", "level", "words"),
    [
        (diagnosis.of_disk("/w", 100 * GIB, GIB), GOOD, "100.0 GiB are free"),
        (diagnosis.of_disk("/w", 9 * GIB, GIB), CAUTION, "9.0 GiB"),
        (diagnosis.of_disk("/w", GIB - 1, GIB), FAULT, "in reserve"),
        (diagnosis.of_file_system("/w", "ext4"), GOOD, "ext4"),
        (diagnosis.of_file_system("/w", "nfs4"), FAULT, "network file system"),
        (diagnosis.of_permissions("/w", 0o700, True, True), GOOD, "belongs"),
        (diagnosis.of_permissions("/w", 0o777, True, True), CAUTION, "others can change"),
        (diagnosis.of_permissions("/w", 0o700, False, True), CAUTION, "others can change"),
        (diagnosis.of_permissions("/w", 0o700, True, False), FAULT, "cannot be written"),
        (diagnosis.of_clock(0.1, -9.0), GOOD, "steadily"),
        (diagnosis.of_clock(-60.0, 0.0), CAUTION, "jumped by -60 s"),
        (diagnosis.of_clock(0.0, 3600.0), CAUTION, "set back"),
        (diagnosis.of_address("unix:///s", False, False), GOOD, "serves on"),
        (diagnosis.of_address("0.0.0.0:1", True, True), GOOD, "serves on"),
        (diagnosis.of_address("0.0.0.0:1", True, False), CAUTION, "everybody"),
        (diagnosis.of_interpreter("3.13.1", "here"), GOOD, "Python 3.13.1, here"),
        (
            diagnosis.of_interpreter("3.14.0", "here"),
            CAUTION,
            "newer than was tried, which is 3.13",
        ),
        (diagnosis.of_metrics(9095)[0], CAUTION, "everybody who reaches port 9095"),
        (diagnosis.of_open_files(1024), GOOD, "1024"),
        (diagnosis.of_open_files(256), CAUTION, "only 256"),
        (
            diagnosis.of_environment(EnvironmentFacts("b", True, "", VERSIONS), False),
            GOOD,
            "is made",
        ),
        (diagnosis.of_environment(EnvironmentFacts("b", False, "/p", VERSIONS), True), GOOD, "/p"),
        (
            diagnosis.of_environment(EnvironmentFacts("b", False, "/p", VERSIONS), False),
            FAULT,
            "uv",
        ),
        (
            diagnosis.of_environment(EnvironmentFacts("b", False, "", VERSIONS), True),
            CAUTION,
            "3.12",
        ),
        (
            diagnosis.of_environment(EnvironmentFacts("b", False, "", (), has_lock=False), True),
            FAULT,
            "requirements.txt",
        ),
    ],
)
def test_each_finding_has_its_level_and_a_bad_one_its_remedy(
    finding: Finding, level: int, words: str
) -> None:
    assert finding.level == level and words in finding.message
    assert bool(finding.hint) == (level != GOOD)


def test_gpus_are_judged_by_what_the_services_are_built_for() -> None:
    built = {"new": 13, "old": 12}
    found = diagnosis.of_gpus([CARD], "560.1", (12, 6), built)
    assert [each.level for each in found] == [GOOD, FAULT, GOOD]
    assert "new is built for CUDA 13" in found[1].message
    assert diagnosis.of_gpus([], "560.1", (12, 6), built)[0].level == CAUTION
    assert "run on the CPU" in diagnosis.of_gpus([], "", (0, 0), built)[0].message


def test_memory_is_judged_by_limit_and_need() -> None:
    assert diagnosis.of_memory(8 * GIB, None, {"a": GIB})[0].level == GOOD
    limited = diagnosis.of_memory(8 * GIB, 2 * GIB, {"a": 4 * GIB})
    assert [each.level for each in limited] == [CAUTION, CAUTION]
    assert "a asks for 4.0 GiB; there are 2.0 GiB" in limited[1].message


def test_broken_services_and_none_are_faults() -> None:
    found = diagnosis.of_services({"x": "service.yaml: no version"}, 0)
    assert [each.subject for each in found] == ["service x", "services"]
    assert diagnosis.of_services({}, 1)[0].message == "1 network is served"


def test_what_a_clean_up_would_free_and_keep_is_told() -> None:
    found = diagnosis.of_cleaning(3, 2 * GIB, ["a: the model m:1 came from it"])
    assert "3 things" in found[0].message and "m:1 came from it" in found[1].message
    assert diagnosis.of_cleaning(0, 0, [])[0].level == GOOD


def test_the_file_system_is_that_of_the_innermost_mount(tmp_path: Path) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "1 0 8:1 / / rw - ext4 /dev/a rw\n"
        "2 1 0:5 / /data rw shared:1 - nfs4 server:/x rw\n"
        "3 2 8:2 / /data/my\\040disk rw - xfs /dev/b rw\n"
    )
    assert file_system(Path("/data/w"), mounts) == "nfs4"
    assert file_system(Path("/data/my disk/w"), mounts) == "xfs"
    assert file_system(Path("/database"), mounts) == "ext4"
    assert file_system(Path("/x"), tmp_path / "none") == ""


def test_the_tightest_limit_of_all_groups_counts(tmp_path: Path) -> None:
    own = tmp_path / "cgroup"
    own.write_text("0::/a/b\n")
    (tmp_path / "a" / "b").mkdir(parents=True)
    assert cgroup_limit(tmp_path, own) is None
    (tmp_path / "a" / "memory.max").write_text("100\n")
    (tmp_path / "a" / "b" / "memory.max").write_text("max\n")
    assert cgroup_limit(tmp_path, own) == 100
    (tmp_path / "a" / "b" / "memory.max").write_text("50\n")
    assert cgroup_limit(tmp_path, own) == 50


class Driver:
    """A scripted NVML."""

    NVMLError = RuntimeError

    def __init__(self, *, there: bool) -> None:
        self.there = there

    def nvmlInit(self) -> None:
        if not self.there:
            raise RuntimeError

    def nvmlShutdown(self) -> None:
        pass

    def nvmlSystemGetDriverVersion(self) -> bytes:
        return b"560.35"

    def nvmlSystemGetCudaDriverVersion_v2(self) -> int:
        return 12060


def test_the_driver_tells_its_versions() -> None:
    assert driver_versions(Driver(there=True)) == ("560.35", (12, 6))  # type: ignore[arg-type]
    assert driver_versions(Driver(there=False)) == ("", (0, 0))  # type: ignore[arg-type]
