# SPDX-License-Identifier: BSD-3-Clause
"""``python -m dl4mic_sdk serve | run | describe | check``."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from pathlib import Path
from typing import Dict, List, Optional


def main(arguments: Optional[List[str]] = None) -> int:
    """Run the command; return the exit status."""
    options = _parser().parse_args(arguments)
    status: int = options.command(options)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m dl4mic_sdk", description="Serve, try and check a network."
    )
    commands = parser.add_subparsers(required=True, dest="name")
    serve = commands.add_parser("serve", help="serve a service folder's networks by gRPC")
    serve.add_argument("service", type=Path, help="the service folder")
    serve.add_argument(
        "--listen", default="localhost:50051", help="HOST:PORT or unix:///path (%(default)s)"
    )
    serve.add_argument(
        "--jobs", type=Path, default=Path("jobs"), help="folder of the jobs (./%(default)s)"
    )
    serve.add_argument(
        "--root",
        action="append",
        default=[],
        metavar="NAME=DIR",
        help="a data root; may be repeated",
    )
    serve.add_argument(
        "--attempt",
        type=int,
        help="serve as an orchestrator's instance: run this attempt of one job",
    )
    serve.add_argument(
        "--warm", action="store_true", help="serve as an orchestrator's instance for single images"
    )
    serve.add_argument(
        "--idle-seconds",
        type=float,
        default=60.0,
        help="an idle instance or warm worker ends (%(default)s)",
    )
    serve.add_argument(
        "--silence",
        type=float,
        default=120.0,
        metavar="SECONDS",
        help="a worker without a sign of life for so long is ended (%(default)s)",
    )
    serve.add_argument(
        "--announce", type=Path, metavar="FILE", help="write the address into a file, too"
    )
    serve.add_argument(
        "--token", type=Path, metavar="FILE", help="answer only calls that show the token in a file"
    )
    serve.set_defaults(command=_serve)
    run = commands.add_parser(
        "run", help="do the job of an attempt's folder, which holds request.json, with no server"
    )
    run.add_argument("folder", type=Path, help="JOBS/<job id>/<attempt>")
    run.set_defaults(command=_run)
    describe = commands.add_parser(
        "describe", help="print the networks of a service folder as JSON"
    )
    describe.add_argument("service", type=Path, help="the service folder")
    describe.set_defaults(command=_describe)
    check = commands.add_parser(
        "check", help="say in plain words what is wrong with a service folder"
    )
    check.add_argument("service", type=Path, help="the service folder")
    check.set_defaults(command=_check)
    return parser


def _serve(options: argparse.Namespace) -> int:
    # Else gRPC does work of its own in each child between fork and exec, where its locks may be held for ever; Python
    # starts processes by fork until 3.9. It reads this when it is imported.
    os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "false"
    from dl4mic.manifest import ManifestError
    from dl4mic_sdk.host.serve import JsonFormatter, Settings, serve

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    try:
        serve(
            Settings(
                service=options.service,
                listen=options.listen,
                jobs=options.jobs.resolve(),
                roots=_roots(options.root),
                attempt=options.attempt,
                warm=options.warm,
                idle_seconds=options.idle_seconds,
                silence_seconds=options.silence,
                announce=options.announce,
                token=options.token,
            )
        )
    except (ManifestError, OSError) as error:
        return _say_error(str(error))
    return 0


def _roots(named: List[str]) -> Dict[str, Path]:
    roots = {}
    for each in named:
        name, equals, folder = each.partition("=")
        if not equals or not Path(folder).is_dir():
            raise SystemExit("--root {}: expected NAME=DIR with an existing folder".format(each))
        roots[name] = Path(folder)
    return roots


def _run(options: argparse.Namespace) -> int:
    from dl4mic_sdk.worker import main as work

    if not (options.folder / "request.json").exists():
        return _say_error("{} holds no request.json".format(options.folder))
    if not options.folder.resolve().name.isdigit():
        return _say_error(
            "{}: the folder of an attempt is called by its number, e.g. JOB/1".format(
                options.folder
            )
        )
    (options.folder / "artifacts").mkdir(exist_ok=True)  # those of a published job have moved away
    return work([str(options.folder)])


def _describe(options: argparse.Namespace) -> int:
    from google.protobuf.json_format import MessageToDict

    from dl4mic.manifest import ManifestError, read_service
    from dl4mic_sdk.host.describe import describe

    try:
        service = read_service(options.service)
    except ManifestError as error:
        return _say_error(str(error))
    seen = [describe(network, service) for network in service.networks.values()]
    content = [MessageToDict(each, preserving_proto_field_name=True) for each in seen]
    sys.stdout.write(json.dumps(content, indent=2) + "\n")
    return 0


def _check(options: argparse.Namespace) -> int:
    from dl4mic_sdk.service_check import problems_of_service

    problems = problems_of_service(options.service)
    for problem in problems:
        sys.stdout.write("- {}\n".format(problem))
    sys.stdout.write(
        "{}: {}\n".format(
            options.service, "{} to mend".format(len(problems)) if problems else "in order"
        )
    )
    return 1 if problems else 0


def _say_error(text: str) -> int:
    sys.stderr.write(text + "\n")
    return 2


if __name__ == "__main__":
    sys.exit(main())
