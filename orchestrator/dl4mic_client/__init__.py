# SPDX-License-Identifier: BSD-3-Clause
"""Client of a dl4mic server: train, score and apply networks from Python or the command line.

::

    client = dl4mic_client.connect()
    job = client.train("NETWORK", source="images", target="masks", model="nuclei", epochs=100)
    job.wait()
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dl4mic_client.client import Client, connect
    from dl4mic_client.errors import (
        ClientError,
        FieldFault,
        JobCancelled,
        JobFailed,
        NotFound,
        Refused,
        ServerFault,
        TransferFault,
        Unreachable,
        Unsupported,
    )
    from dl4mic_client.job import Job
    from dl4mic_client.pixels import ImagePrediction
    from dl4mic_client.requests import JobOptions
    from dl4mic_client.run import Run

__all__ = [
    "Client",
    "ClientError",
    "FieldFault",
    "ImagePrediction",
    "Job",
    "JobCancelled",
    "JobFailed",
    "JobOptions",
    "NotFound",
    "Refused",
    "Run",
    "ServerFault",
    "TransferFault",
    "Unreachable",
    "Unsupported",
    "connect",
]

_MODULES = {
    "client": ("Client", "connect"),
    "job": ("Job",),
    "pixels": ("ImagePrediction",),
    "requests": ("JobOptions",),
    "run": ("Run",),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> object:
    # The command line imports this package too and must not wait for gRPC to show its help.
    from importlib import import_module

    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f"{__name__}.{_HOMES.get(name, 'errors')}")
    return getattr(module, name)


def __dir__() -> list[str]:
    return sorted(__all__)
