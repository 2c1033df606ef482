# SPDX-License-Identifier: BSD-3-Clause
"""Own what can be set about an orchestrator, and the one place that reads the process's environment."""

from __future__ import annotations

import hashlib
import ipaddress
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from dl4mic_orchestrator.backends.images import ServiceImages
from dl4mic_orchestrator.backends.kubernetes.settings import KubernetesSettings
from dl4mic_orchestrator.cleaning import Retention
from dl4mic_orchestrator.records import Allowance

STORE = "store.sqlite"
_STORE_URL = "DL4MIC_STORE_URL"
_SECRETS = (_STORE_URL, "DL4MIC_TOKEN", "DL4MIC_TOKEN_FILE")
_NOT_FOR_INSTANCES = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "CONDA_PREFIX", *_SECRETS)


class BackendKind(Enum):
    """How instances are launched: as processes, as containers, or on a cluster."""

    LOCAL = "local"
    CONTAINER = "container"
    KUBERNETES = "kubernetes"


@dataclass(frozen=True)
class Settings:
    """How an orchestrator is set up.

    Attributes
    ----------
    workspace
        Folder of jobs, models and uploads, and of the store.
    services
        Folder whose subfolders hold a service.yaml each.
    sources
        Folders of the SDK and of the contract, which every service's environment gets.
    address
        Where it is served: ``unix:///path`` or ``HOST:PORT``.
    store
        File of SQLite, or URL of a database; the URL may hold a password.
    certificate, key
        Files in PEM form of the server's certificate and its private key; None for no TLS.
    tokens
        File that says who may call; None for everybody who reaches the address.
    roots
        Data roots: name -> folder.
    environments
        Folder of the services' virtual environments; several workspaces may share it.
    runtime
        Short private folder for the sockets of the instances (a socket's path has 107 bytes at most).
    environment
        Of the processes that it starts.
    exit_when_idle_seconds
        End after this long without open jobs and callers; None for never.
    metrics_port
        HTTP port of the metrics; None for none, 0 for a free one.
    upload_limit_bytes
        Size of one uploaded file at most.
    disk_reserve_bytes
        New jobs and uploads are refused when less is free in the workspace.
    heartbeat_timeout_seconds
        A running job that gives no sign of life for so long is UNRESPONSIVE.
    cancel_grace_seconds
        An instance that has not ended so long after it was asked to is killed. It gives its worker 30 s to write a
        checkpoint first.
    cpus, memory_bytes
        For jobs; None for what the machine has.
    projects
        What each project may use; ``*`` stands for those that are not named.
    retention
        For how long a clean-up keeps what nobody uses.
    images
        Of the services, by name; for the backends that run images.
    kubernetes
        How instances are set up there; for that backend alone.
    container_engine
        podman or docker; empty for the first that is there.
    sdk_python
        Interpreter of an environment that has the SDK; None where one is to be made.
    """

    workspace: Path
    services: Path
    sources: tuple[Path, ...]
    address: str
    environments: Path
    runtime: Path
    store: Path | str = field(repr=False)
    certificate: Path | None = None
    key: Path | None = None
    tokens: Path | None = None
    roots: Mapping[str, Path] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    exit_when_idle_seconds: float | None = None
    metrics_port: int | None = None
    upload_limit_bytes: int = 64 << 30
    disk_reserve_bytes: int = 512 << 20
    heartbeat_timeout_seconds: float = 180.0
    cancel_grace_seconds: float = 45.0
    instance_start_seconds: float = 60.0
    warm_idle_seconds: float = 300.0
    warm_instances: Mapping[str, int] = field(default_factory=dict)
    cpus: float | None = None
    memory_bytes: int | None = None
    projects: Mapping[str, Allowance] = field(default_factory=dict)
    retention: Retention = field(default_factory=Retention)
    backend: BackendKind = BackendKind.LOCAL
    images: Mapping[str, ServiceImages] = field(default_factory=dict)
    kubernetes: KubernetesSettings | None = None
    container_engine: str = ""
    sdk_python: Path | None = None

    @property
    def jobs(self) -> Path:
        """Folder of the jobs: ``<id>/<attempt>/``."""
        return self.workspace / "jobs"

    @property
    def uploads(self) -> Path:
        """Folder of what callers sent."""
        return self.workspace / "uploads"

    @property
    def models(self) -> Path:
        """Folder of the model store."""
        return self.workspace / "models"


def workspace_folder() -> Path:
    """Name the workspace that is used where none is named: DL4MIC_WORKSPACE, or in the user's data folder."""
    named = os.environ.get("DL4MIC_WORKSPACE")
    data = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(named).expanduser() if named else Path(data).expanduser() / "dl4mic"


def store_place(workspace: Path, named: str | None) -> Path | str:
    """Tell where the store is: as named, else by DL4MIC_STORE_URL, else in the workspace."""
    return named or os.environ.get(_STORE_URL) or workspace / STORE


def is_loopback(address: str) -> bool:
    """Say whether only this machine reaches HOST:PORT."""
    host = address.rpartition(":")[0].strip("[]")
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def runtime_folder(workspace: Path) -> Path:
    """Name the folder for a workspace's sockets: private to the user, the same at every start."""
    base = os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
    digest = hashlib.sha256(str(workspace).encode()).hexdigest()[:10]
    return Path(base) / f"dl4mic-{os.getuid()}-{digest}"


def sdk_python() -> Path | None:
    """Name the SDK's interpreter: DL4MIC_SDK_PYTHON, which images set; None where an environment is to be made."""
    named = os.environ.get("DL4MIC_SDK_PYTHON")
    return Path(named) if named else None


def instance_environment() -> dict[str, str]:
    """Give the environment for the processes that are started: ours, less secrets and what would bend imports."""
    return {name: value for name, value in os.environ.items() if name not in _NOT_FOR_INSTANCES}


def find_uv() -> Path | None:
    """Find uv: the one that was installed beside us, else on the PATH."""
    try:
        from uv import find_uv_bin
    except ImportError:
        found = shutil.which("uv")
        return Path(found) if found else None
    return Path(find_uv_bin())
