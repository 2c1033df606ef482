# SPDX-License-Identifier: BSD-3-Clause
"""What a container is allowed: its job's folders, its limits, its GPUs, and nothing else."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from scripted_engine import make_spec

from dl4mic_orchestrator.backends.base import UnavailableError
from dl4mic_orchestrator.backends.container_run import run_arguments
from dl4mic_orchestrator.records import Grant

GIB = 1 << 30


def arguments(tmp_path: Path, *grant: object, attempt: int = 2) -> list[str]:
    spec = make_spec(tmp_path, Grant(*grant), attempt)  # type: ignore[arg-type]
    return run_arguments(spec, "dl4mic-blur:1", "n", tmp_path / "r" / "i-1")


def mounts(given: list[str]) -> dict[str, bool]:
    """Path -> whether it can be written."""
    told = [
        dict(part.partition("=")[::2] for part in each.split(","))
        for each in given
        if "--mount=" in each
    ]
    assert all(each["source"] == each["target"] for each in told)
    return {each["source"]: "readonly" not in each for each in told}


def test_only_the_job_s_own_folder_can_be_written(tmp_path: Path) -> None:
    seen = mounts(arguments(tmp_path, 1.0))
    assert seen == {
        str(tmp_path / "r" / "i-1"): True,
        str(tmp_path / "w" / "jobs" / "train-1"): True,
        str(tmp_path / "data" / "train"): False,
    }


def test_a_warm_instance_writes_its_log_alone(tmp_path: Path) -> None:
    given = arguments(tmp_path, 1.0, attempt=0)
    writable = {path for path, written in mounts(given).items() if written}
    assert writable == {str(tmp_path / "r" / "i-1"), str(tmp_path / "warm.log")}
    assert given[-5:] == ["--warm", "--attempt", "1", "--idle-seconds", "3600.0"]


def test_a_container_has_no_network_no_rights_and_a_root_that_cannot_be_written(
    tmp_path: Path,
) -> None:
    confined = {
        "--network=none",
        "--read-only",
        "--cap-drop=ALL",
        "--security-opt=no-new-privileges",
        "--pull=never",
    }
    assert confined <= set(arguments(tmp_path, 1.0))


def test_the_grant_is_the_limit(tmp_path: Path) -> None:
    given = arguments(tmp_path, 1.5, 3 * GIB)
    assert {"--cpus=1.5", f"--memory={3 * GIB}", f"--shm-size={3 * GIB // 2}"} <= set(given)
    unlimited = arguments(tmp_path)
    assert not [each for each in unlimited if each.startswith(("--cpus", "--memory"))]
    assert f"--shm-size={GIB}" in unlimited


def test_gpus_come_by_cdi(tmp_path: Path) -> None:
    given = arguments(tmp_path, 1.0, 0, (2, 3))
    assert {"--device=nvidia.com/gpu=2", "--device=nvidia.com/gpu=3"} <= set(given)
    assert "--env=CUDA_VISIBLE_DEVICES=" not in given
    assert "--env=CUDA_VISIBLE_DEVICES=" in arguments(tmp_path, 1.0)


def test_the_command_is_that_of_every_backend_and_what_it_says_goes_into_the_log(
    tmp_path: Path,
) -> None:
    given = arguments(tmp_path, 1.0)
    jobs = str(tmp_path / "w" / "jobs")
    assert given[given.index("dl4mic-blur:1") :] == [
        "dl4mic-blur:1",
        "sh", "-c", 'exec "$@" >>"$0" 2>&1', f"{jobs}/train-1/2/host.log",
        "python", "-m", "dl4mic_sdk", "serve", "/app/service",
        "--listen", f"unix://{tmp_path / 'r' / 'i-1' / 's.sock'}",
        "--jobs", jobs, "--silence", "60.0", "--attempt", "2",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["a,b", 'a"b', "a\nb"])
def test_a_folder_that_no_mount_can_name(name: str, tmp_path: Path) -> None:
    spec = dataclasses.replace(make_spec(tmp_path), reads=(tmp_path / name,))
    with pytest.raises(UnavailableError, match="cannot be given to a container") as caught:
        run_arguments(spec, "i", "n", tmp_path / "r")
    assert caught.value.code == "VOLUME_UNAVAILABLE"
