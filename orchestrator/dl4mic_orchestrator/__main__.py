# SPDX-License-Identifier: BSD-3-Clause
"""``python -m dl4mic_orchestrator``: flags to settings, then serve; or an administrator's command."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path
from typing import Any

from dl4mic.addresses import socket_path
from dl4mic.check import Refused, check_name
from dl4mic_orchestrator import logs
from dl4mic_orchestrator.allowances import read_allowances
from dl4mic_orchestrator.backends.engine import ENGINES
from dl4mic_orchestrator.backends.images import read_images
from dl4mic_orchestrator.backends.kubernetes.settings import read_settings
from dl4mic_orchestrator.cleaning import Retention
from dl4mic_orchestrator.settings import (
    BackendKind,
    Settings,
    instance_environment,
    is_loopback,
    runtime_folder,
    sdk_python,
    store_place,
    workspace_folder,
)

_REPOSITORY = Path(__file__).resolve().parents[2]


def main(arguments: list[str] | None = None) -> int:
    """Serve, or do what else an administrator does; return the exit status."""
    words = sys.argv[1:] if arguments is None else arguments
    if words and words[0] in ("backup", "restore"):
        from dl4mic_orchestrator import administer

        return administer.main(words)
    parser = _parser()
    options = parser.parse_args(words)
    try:
        settings = settings_of(options)
    except ValueError as error:
        parser.error(str(error))
    logs.set_up()
    from dl4mic_orchestrator.app import WorkspaceBusyError, run
    from dl4mic_orchestrator.store import StoreError

    try:
        run(settings)
    except (WorkspaceBusyError, StoreError, OSError, ValueError) as error:
        logging.getLogger(__name__).error("cannot serve: %s", error)
        return 1
    return 0


def settings_of(options: argparse.Namespace) -> Settings:
    """Turn parsed flags into settings.

    Raises
    ------
    ValueError
        A flag is at fault; the message says what would be right.
    """
    workspace = options.workspace.resolve()
    address = f"unix://{options.socket.resolve()}" if options.socket else options.listen
    _check_front(options, address)
    services = options.services.resolve()
    if not services.is_dir():
        raise ValueError(f"--services {options.services}: there is no such folder")
    return Settings(
        workspace=workspace,
        services=services,
        sources=_sources(options.sdk or services / "_sdk"),
        address=address,
        environments=(options.environments or workspace / "environments").resolve(),
        runtime=runtime_folder(workspace),
        store=store_place(workspace, options.store),
        certificate=options.tls_certificate,
        key=options.tls_key,
        tokens=options.tokens,
        roots=dict(_root(text) for text in options.root),
        environment=instance_environment(),
        exit_when_idle_seconds=options.exit_when_idle,
        metrics_port=options.metrics_port,
        warm_idle_seconds=options.warm_idle,
        warm_instances=dict(_warm_instances(text) for text in options.warm_instances),
        heartbeat_timeout_seconds=options.heartbeat_timeout,
        cpus=options.cpus,
        projects=read_allowances(options.limit),
        retention=Retention(options.keep_jobs, options.keep_uploads, options.keep_environments),
        sdk_python=sdk_python(),
        **_backend(options),
    )


def _backend(options: argparse.Namespace) -> dict[str, Any]:
    """Read where instances run, and what that needs."""
    backend = BackendKind(options.backend)
    if backend is BackendKind.LOCAL:
        return {}
    if options.images is None:
        raise ValueError(f"--backend {backend.value}: name the services' images by --images FILE")
    told = {"backend": backend, "images": read_images(options.images)}
    if backend is BackendKind.CONTAINER:
        return {**told, "container_engine": options.engine or ""}
    if options.kubernetes is None:
        raise ValueError("--backend kubernetes: name its settings by --kubernetes FILE")
    cluster = read_settings(options.kubernetes)
    unknown = sorted(set(cluster.data_roots) - {_root(text)[0] for text in options.root})
    if unknown:
        raise ValueError(
            f"--kubernetes {options.kubernetes}: data_roots.{unknown[0]}: no --root {unknown[0]}=DIR"
        )
    return {**told, "kubernetes": cluster}


def _add_backend(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("where instances run").add_argument
    kinds = [kind.value for kind in BackendKind]
    add("--backend", choices=kinds, default=kinds[0], help="processes, containers or a cluster")
    add("--images", type=Path, metavar="FILE", help="YAML, SERVICE: {cpu: IMAGE, gpu: IMAGE}")
    add("--engine", choices=ENGINES, help="of containers; without it, the one there is")
    add("--kubernetes", type=Path, metavar="FILE", help="YAML with the settings of that backend")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m dl4mic_orchestrator",
        description="Run an orchestrator; `backup` and `restore` keep what it has.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    _add_backend(parser)
    add = parser.add_argument
    add("--socket", type=Path, help="serve on this Unix socket, for its user alone")
    add("--listen", default="localhost:50051", metavar="ADDRESS", help="HOST:PORT or unix:///path")
    add("--insecure", action="store_true", help="let --listen take an address that others reach")
    add("--tls-certificate", type=Path, metavar="FILE", help="speak TLS, with this certificate")
    add("--tls-key", type=Path, metavar="FILE", help="private key of the certificate")
    add("--tokens", type=Path, metavar="FILE", help="who may call; see `dl4mic token`")
    add("--workspace", type=Path, default=workspace_folder(), help="folder of all its files")
    add(
        "--store",
        metavar="URL",
        help="database of the records: sqlite:////FILE or postgresql+psycopg://...; with a password, say it by "
        "DL4MIC_STORE_URL; without both, a file in the workspace",
    )
    add("--services", type=Path, default=_REPOSITORY / "services", help="folder of the services")
    add("--sdk", type=Path, help="sources of the SDK; without it, SERVICES/_sdk")
    add("--environments", type=Path, help="folder of the environments, for several workspaces")
    add("--root", action="append", default=[], metavar="NAME=DIR", help="a data root; repeatable")
    add("--exit-when-idle", type=float, metavar="SECONDS", help="end after so long without work")
    add("--metrics-port", type=int, metavar="PORT", help="serve metrics by HTTP")
    add("--warm-idle", type=float, default=300.0, metavar="SECONDS", help="keep models loaded")
    add(
        "--warm-instances",
        action="append",
        default=[],
        metavar="SERVICE=N",
        help="models of a service kept loaded at once, at most; repeatable",
    )
    add(
        "--heartbeat-timeout",
        type=float,
        default=180.0,
        metavar="SECONDS",
        help="a running job without a sign of life for so long is UNRESPONSIVE; its worker for two thirds of it",
    )
    add("--cpus", type=float, help="CPU slots for jobs; without it, all")
    add(
        "--limit",
        action="append",
        default=[],
        metavar="PROJECT:jobs=N,running=N,gpus=N,disk=GIB",
        help="what a project may have open, run, use and keep at most; * for every other project; repeatable",
    )
    kept, days = Retention(), "that a clean-up keeps unused"
    add("--keep-jobs", type=float, default=kept.jobs_days, metavar="DAYS", help=f"{days} jobs")
    add(
        "--keep-uploads",
        type=float,
        default=kept.uploads_days,
        metavar="DAYS",
        help=f"{days} uploads",
    )
    add(
        "--keep-environments",
        type=float,
        default=kept.environments_days,
        metavar="DAYS",
        help=f"{days} environments",
    )
    return parser


def _warm_instances(text: str) -> tuple[str, int]:
    service, _, number = text.partition("=")
    if not service or not number.isdecimal() or int(number) < 1:
        raise ValueError(f"--warm-instances {text}: expected SERVICE=N, N from 1")
    return service, int(number)


def _check_front(options: argparse.Namespace, address: str) -> None:
    """Refuse an address that anybody could reach and use, and flags that contradict each other."""
    if bool(options.tls_certificate) != bool(options.tls_key):
        raise ValueError("--tls-certificate and --tls-key belong together; name both files")
    if socket_path(address):
        if options.tls_certificate or options.tokens:
            raise ValueError("a Unix socket is for its user alone: it takes no TLS and no tokens")
        return
    guarded = options.tls_certificate and options.tokens
    if not (guarded or options.insecure or is_loopback(address)):
        raise ValueError(
            f"--listen {address}: everybody who reaches this address could use the server; give it "
            "--tls-certificate, --tls-key and --tokens, say --insecure if that is meant, "
            "or listen on localhost"
        )


def _sources(sdk: Path) -> tuple[Path, Path]:
    """Find the sources of the SDK and of the contract, which lies beside the services."""
    if not (sdk / "pyproject.toml").exists():
        sdk = _REPOSITORY / "services" / "_sdk"
    proto = sdk.resolve().parents[1] / "proto"
    for source in (sdk, proto):
        if not (source / "pyproject.toml").exists():
            raise ValueError(
                f"{source} does not hold the sources that the services need; name the SDK's by --sdk"
            )
    return sdk, proto


def _root(text: str) -> tuple[str, Path]:
    name, equals, folder = text.partition("=")
    path = Path(folder)
    if not equals or not path.is_dir():
        raise ValueError(f"--root {text}: expected NAME=DIR with a folder that is there")
    try:
        check_name(name, "--root")
    except Refused as error:
        raise ValueError(str(error)) from error
    if name in ("job", "uploads"):
        raise ValueError(f"--root {text}: the name {name} is reserved")
    return name, path.resolve()


if __name__ == "__main__":
    sys.exit(main())
