# SPDX-License-Identifier: BSD-3-Clause
"""Say what is found of a server and its machine: good, a caution or a fault, and what to do about it. Pure."""

from __future__ import annotations

import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dl4mic.v1.maintenance_pb2 import Finding
from dl4mic_orchestrator.records import Gpu

_NETWORK_FILE_SYSTEMS = ("nfs", "cifs", "smb", "9p", "afs", "ceph", "glusterfs", "lustre", "beegfs",
                         "gpfs", "fuse.sshfs")  # fmt: skip
_OFTEN_FULL = 10
"""So many times the reserve should be free: a training with its checkpoints easily takes a few GiB."""

_LEAST_FILES = 1024
_NEWEST_PYTHON = (3, 13)
"""That the SDK's lock was tried with."""

_JUMP_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class EnvironmentFacts:
    """What is known of one service's environment.

    Attributes
    ----------
    made
        It is there.
    python
        Path of an interpreter that it could be made with; empty where none was found.
    versions
        Of Python, that its lock supports.
    has_lock
        Its packages are locked.
    """

    service: str
    made: bool
    python: str
    versions: Sequence[str]
    has_lock: bool = True


def good(subject: str, message: str) -> Finding:
    """Make a finding that all is well."""
    return Finding(subject=subject, level=Finding.GOOD, message=message)


def caution(subject: str, message: str, hint: str) -> Finding:
    """Make a finding of what works, but not well or not for long."""
    return Finding(subject=subject, level=Finding.CAUTION, message=message, hint=hint)


def fault(subject: str, message: str, hint: str) -> Finding:
    """Make a finding of what makes jobs fail."""
    return Finding(subject=subject, level=Finding.FAULT, message=message, hint=hint)


def of_interpreter(version: str, machine: str) -> Finding:
    """Judge the server's own Python: the SDK's environment, which checks every job's data, is made with the same."""
    message = f"Python {version}, {machine}"
    if tuple(map(int, version.split(".")[:2])) > _NEWEST_PYTHON:
        newest = ".".join(map(str, _NEWEST_PYTHON))
        hint = f"Run the server with Python {newest}: packages for the check of data may be missing for yours."
        return caution("interpreter", f"{message}: newer than was tried, which is {newest}", hint)
    return good("interpreter", message)


def of_disk(place: str, free_bytes: int, reserve_bytes: int) -> Finding:
    """Judge the free space of the disk of the workspace, or of the environments."""
    message = f"{_gib(free_bytes)} are free in {place}; {_gib(reserve_bytes)} are kept in reserve"
    if free_bytes < reserve_bytes:
        hint = "New jobs and uploads are refused: free some space; dl4mic clean --dry-run helps."
        return fault("disk", message, hint)
    if free_bytes < _OFTEN_FULL * reserve_bytes:
        return caution("disk", message, "Free some space soon; dl4mic clean --dry-run helps.")
    return good("disk", message)


def of_file_system(folder: str, kind: str) -> Finding:
    """Judge the file system of the workspace: SQLite's locks do not hold on a network's."""
    if kind.startswith(_NETWORK_FILE_SYSTEMS):
        message = f"{folder} lies on a network file system ({kind}); the store can be damaged there"
        return fault("file system", message, "Put the workspace on a disk of this machine.")
    return good("file system", f"{folder} lies on {kind or 'a file system that is not named'}")


def of_permissions(folder: str, mode: int, is_owner: bool, writable: bool) -> Finding:
    """Judge who may write to the workspace."""
    if not writable:
        hint = f"Give it to the user who runs the server: chown -R USER {folder}"
        return fault("workspace", f"{folder} cannot be written to", hint)
    if mode & stat.S_IWOTH or not is_owner:
        message = f"others can change {folder}, and with it jobs and models"
        return caution("workspace", message, f"Make it the server's own: chmod o-w {folder}")
    return good("workspace", f"{folder} belongs to the server")


def of_gpus(
    gpus: Sequence[Gpu], driver: str, driver_cuda: tuple[int, int], built: Mapping[str, int]
) -> list[Finding]:
    """Judge GPUs and their driver.

    Parameters
    ----------
    driver
        Its version; empty where there is none.
    driver_cuda
        Newest CUDA that the driver knows.
    built
        Service -> major version of the CUDA that its lock brings. CUDA's minor versions are compatible both ways
        (docs.nvidia.com/deploy/cuda-compatibility), its major ones are not.
    """
    if not driver:
        return [good("gpu", "no NVIDIA driver answers: jobs run on the CPU")]
    if not gpus:
        hint = "See what nvidia-smi says; in a container, pass the GPUs through."
        return [caution("gpu", f"the NVIDIA driver {driver} shows no GPU", hint)]
    findings = [
        good("gpu", f"GPU {gpu.index}: {gpu.name}, {_gib(gpu.memory_bytes)}") for gpu in gpus
    ]
    known = ".".join(map(str, driver_cuda))
    for service, cuda in sorted(built.items()):
        message = (
            f"the driver {driver} knows CUDA up to {known}; {service} is built for CUDA {cuda}"
        )
        if cuda > driver_cuda[0]:
            hint = "Install a newer NVIDIA driver, or run its jobs with --device cpu."
            findings.append(fault("gpu driver", message, hint))
        else:
            findings.append(good("gpu driver", message))
    return findings


def of_environment(facts: EnvironmentFacts, has_uv: bool) -> Finding:
    """Judge whether a service's environment is there, or can be made."""
    subject = f"environment {facts.service}"
    wanted = " or ".join(facts.versions)
    if not facts.has_lock:
        hint = "Put the service's requirements.txt back; `make lock` resolves it."
        return fault(subject, "its packages are not locked: requirements.txt is missing", hint)
    if facts.made:
        return good(subject, "is made")
    if not has_uv:
        hint = "Install the package uv beside the server: pip install uv"
        return fault(subject, "is not made, and uv, which makes it, is not installed", hint)
    if not facts.python:
        message = f"is not made, and no Python {wanted} is here to make it with; uv would fetch one"
        return caution(subject, message, f"Without a network, install Python {facts.versions[0]}.")
    return good(subject, f"is made on first use, with {facts.python}")


def of_services(broken: Mapping[str, str], networks: int) -> list[Finding]:
    """Judge the services' manifests: name of the folder -> what is wrong with it."""
    findings = [
        fault(f"service {name}", message, "Mend its service.yaml, then start the server again.")
        for name, message in sorted(broken.items())
    ]
    if not networks:
        hint = "Name the folder of the services: dl4mic serve --services DIR"
        findings.append(fault("services", "the server has no networks", hint))
    served = "1 network is served" if networks == 1 else f"{networks} networks are served"
    return findings or [good("services", served)]


def of_memory(for_jobs: int, limit: int | None, needs: Mapping[str, int]) -> list[Finding]:
    """Judge memory.

    Parameters
    ----------
    for_jobs
        Bytes that the server gives to jobs.
    limit
        Of the server's cgroup, which its jobs are in, too; None for none.
    needs
        Network -> bytes that its manifest asks for.
    """
    memory = for_jobs if limit is None else min(for_jobs, limit)
    findings = []
    if limit is not None and limit < for_jobs:
        message = f"a cgroup allows {_gib(limit)}, but jobs are given {_gib(for_jobs)}"
        hint = "Jobs may be killed for memory: raise the limit of the container or unit."
        findings.append(caution("memory", message, hint))
    for network, need in sorted(needs.items()):
        if need > memory:
            message = f"{network} asks for {_gib(need)}; there are {_gib(memory)}"
            hint = "Its jobs run alone, and may run out of memory; use a larger machine for it."
            findings.append(caution("memory", message, hint))
    return findings or [good("memory", f"{_gib(memory)} for jobs")]


def of_clock(drift_seconds: float, ahead_seconds: float) -> Finding:
    """Judge the clock.

    Parameters
    ----------
    drift_seconds
        By how much the time of day went faster than a steady clock since the server was started.
    ahead_seconds
        By how much the newest job's acceptance lies in the future.
    """
    hint = "Have it set by NTP (timedatectl set-ntp true); deadlines and retention go by it."
    if ahead_seconds > _JUMP_SECONDS:
        words = f"the newest job was accepted {ahead_seconds:.0f} s in the future: the clock was set back"
        return caution("clock", words, hint)
    if abs(drift_seconds) > _JUMP_SECONDS:
        return caution("clock", f"jumped by {drift_seconds:+.0f} s while the server ran", hint)
    return good("clock", "goes steadily")


def of_address(address: str, reached_by_all: bool, guarded: bool) -> Finding:
    """Judge where the server listens; it is guarded by TLS with tokens."""
    if reached_by_all and not guarded:
        hint = "Let a firewall or an SSH tunnel decide who comes in."
        return caution("address", f"{address}: everybody who reaches it can use the server", hint)
    return good("address", f"serves on {address}")


def of_metrics(port: int | None) -> list[Finding]:
    """Judge who can read the metrics: they are served without TLS and tokens."""
    if port is None:
        return []
    message = f"everybody who reaches port {port} of this machine can read them, names of networks and projects too"
    return [caution("metrics", message, "Let a firewall let Prometheus alone in.")]


def of_open_files(limit: int) -> Finding:
    """Judge how many files, sockets among them, the server may open."""
    if limit < _LEAST_FILES:
        hint = f"Raise it: ulimit -n {_LEAST_FILES}, or LimitNOFILE of the unit."
        return caution("open files", f"the server may open only {limit} at once", hint)
    return good("open files", f"the server may open {limit} at once")


def of_cleaning(count: int, freed_bytes: int, kept: Sequence[str]) -> list[Finding]:
    """Tell what a clean-up would free, and what it would keep although it is old."""
    findings = []
    if count:
        message = f"{count} things are past their retention: {_gib(freed_bytes)}"
        findings.append(caution("clean-up", message, "See and delete them: dl4mic clean"))
    if kept:
        message = f"{len(kept)} old things are kept: {'; '.join(kept[:3])}"
        findings.append(good("retention", message))
    return findings or [good("clean-up", "nothing is past its retention")]


def _gib(count: float) -> str:
    return f"{count / 2**30:.1f} GiB"
