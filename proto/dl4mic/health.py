# SPDX-License-Identifier: BSD-3-Clause
"""``python -m dl4mic.health ADDRESS``: ask a server of the contract whether it serves, as probes of containers do."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import List, Optional

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from dl4mic.server import channel_target


def main(arguments: Optional[List[str]] = None) -> int:
    """Ask once; return 0 when it serves, else 1 with the reason on standard error."""
    options = _parser().parse_args(arguments)
    with _channel(options) as channel:
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(), timeout=options.timeout
            )
        except grpc.RpcError as error:
            sys.stderr.write("{}: {}\n".format(options.address, error.details()))
            return 1
    if answer.status == health_pb2.HealthCheckResponse.SERVING:
        return 0
    status = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
    sys.stderr.write("{}: {}\n".format(options.address, status))
    return 1


def _channel(options: argparse.Namespace) -> grpc.Channel:
    target = channel_target(options.address)
    if options.ca is None:
        return grpc.insecure_channel(target)
    credentials = grpc.ssl_channel_credentials(options.ca.read_bytes())
    # A probe comes by a loopback address, which no certificate names.
    names = [("grpc.ssl_target_name_override", options.name)] if options.name else []
    return grpc.secure_channel(target, credentials, options=names)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m dl4mic.health", description="Ask a server whether it serves."
    )
    parser.add_argument("address", nargs="?", default="localhost:50051", help="%(default)s")
    parser.add_argument("--ca", type=Path, metavar="FILE", help="whom its certificate must be from")
    parser.add_argument("--name", help="whom its certificate must name, if not the address")
    parser.add_argument("--timeout", type=float, default=5.0, metavar="SECONDS")
    return parser


if __name__ == "__main__":
    sys.exit(main())
