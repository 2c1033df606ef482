# SPDX-License-Identifier: BSD-3-Clause
"""Say to an engine what a container may do: as little as its job needs. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from dl4mic_orchestrator.backends.base import LaunchSpec, UnavailableError
from dl4mic_orchestrator.backends.images import SERVICE_FOLDER
from dl4mic_orchestrator.records import Grant

_MIB = 1 << 20
_SHARED_BYTES = 1 << 30
_PROCESSES = 4096
_WARM_IDLE_SECONDS = 3600.0
"""We end a warm instance much earlier; should we never come back, it lets go of its model by itself."""

_INTO_LOG = 'exec "$@" >>"$0" 2>&1'

_CONFINED = (
    # Nothing goes in or out but by the socket in a folder that both see.
    "--network=none",
    "--read-only",
    "--tmpfs=/tmp:rw,nosuid,nodev,mode=1777",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
    # Else SELinux would have us relabel the users' own images.
    "--security-opt=label=disable",
    f"--pids-limit={_PROCESSES}",
    "--pull=never",
    "--workdir=/tmp",
    "--env=HOME=/tmp",
    # GPUs come by CDI alone, whatever an engine's own hook would add.
    "--env=NVIDIA_VISIBLE_DEVICES=void",
)


def run_arguments(spec: LaunchSpec, image: str, name: str, folder: Path) -> list[str]:
    """Give the arguments of ``run`` for an instance: options, image, command.

    Parameters
    ----------
    name
        Of the container.
    folder
        Holds the instance's socket, ``s.sock``.

    Raises
    ------
    UnavailableError
        A path cannot be written in a mount.
    """
    options = ["--name", name, *_CONFINED, *_limits(spec.grant), *_devices(spec.grant)]
    written = (folder, *spec.writes, spec.log)
    options += [_mount(path) for path in _outermost(written)]
    options += [_mount(path, readonly=True) for path in _outermost(spec.reads, beside=written)]
    listen = f"unix://{folder / 's.sock'}"
    return [*options, image, "sh", "-c", _INTO_LOG, str(spec.log), *serve_command(spec, listen)]


def serve_command(spec: LaunchSpec, listen: str) -> list[str]:
    """Give the command of a service's host inside its image."""
    command = ["python", "-m", "dl4mic_sdk", "serve", SERVICE_FOLDER]
    command += [
        "--listen",
        listen,
        "--jobs",
        str(spec.jobs),
        "--silence",
        str(spec.silence_seconds),
    ]
    if spec.warm:
        return [*command, "--warm", "--attempt", "1", "--idle-seconds", str(_WARM_IDLE_SECONDS)]
    return [*command, "--attempt", str(spec.attempt)]


def _limits(grant: Grant) -> Iterator[str]:
    if grant.cpus:
        yield f"--cpus={grant.cpus:g}"
    if grant.memory_bytes:
        yield f"--memory={grant.memory_bytes}"
    # Loaders of data pass patches between processes by shared memory; the engines' own 64 MiB are too few.
    shared = max(64 * _MIB, grant.memory_bytes // 2) if grant.memory_bytes else _SHARED_BYTES
    yield f"--shm-size={shared}"


def _devices(grant: Grant) -> Iterator[str]:
    """Give the granted GPUs by the names that NVIDIA's toolkit writes for CDI: their numbers."""
    for gpu in grant.gpus:
        yield f"--device=nvidia.com/gpu={gpu}"
    if not grant.gpus:
        yield "--env=CUDA_VISIBLE_DEVICES="


def _outermost(paths: Sequence[Path], beside: Sequence[Path] = ()) -> list[Path]:
    """Leave out what lies in another one of them, or of those that are mounted beside."""
    kept: list[Path] = []
    for path in sorted(set(paths), key=lambda path: len(path.parts)):
        if not any(path == other or other in path.parents for other in (*kept, *beside)):
            kept.append(path)
    return kept


def _mount(path: Path, *, readonly: bool = False) -> str:
    if any(sign in str(path) for sign in ',"\n'):
        raise UnavailableError(
            "VOLUME_UNAVAILABLE",
            f"{path} cannot be given to a container: its name holds a comma, a quote or a line break",
            "Rename it, then send the job again.",
        )
    return f"--mount=type=bind,source={path},target={path}" + (",readonly" if readonly else "")
