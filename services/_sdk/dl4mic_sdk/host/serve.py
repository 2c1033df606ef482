# SPDX-License-Identifier: BSD-3-Clause
"""Starts the host of a service and ends it well."""

from __future__ import annotations

import json
import logging
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Mapping, Optional

from dl4mic.addresses import check_address
from dl4mic.data_service import DataServicer
from dl4mic.ending import Ending
from dl4mic.manifest import read_service
from dl4mic.server import listen
from dl4mic.v1.data_pb2_grpc import add_DataServiceServicer_to_server
from dl4mic.v1.job_pb2_grpc import add_JobServiceServicer_to_server
from dl4mic.v1.network_pb2_grpc import add_NetworkServiceServicer_to_server
from dl4mic_sdk.host.attempt import SILENCE_SECONDS
from dl4mic_sdk.host.jobs import Jobs
from dl4mic_sdk.host.services import JobServicer, NetworkServicer
from dl4mic_sdk.host.warm import WarmWorkers

LAST_WATCHERS_SECONDS = 2.0
"""What an instance leaves its watchers to read the end of its job."""

log = logging.getLogger("dl4mic.host")


@dataclass(frozen=True)
class Settings:
    """How to serve.

    Attributes
    ----------
    service
        Service folder.
    listen
        ``unix:///path`` or ``HOST:PORT``.
    jobs
        Folder of the jobs.
    roots
        Data roots, name -> folder.
    attempt
        Serve as an orchestrator's instance that runs this attempt of one job.
    warm
        Serve as an orchestrator's instance that predicts single images.
    idle_seconds
        An instance that nobody has called for so long ends.
    silence_seconds
        A worker that gives no sign of life for so long is UNRESPONSIVE.
    """

    service: Path
    listen: str
    jobs: Path
    roots: Mapping[str, Path]
    attempt: Optional[int] = None
    warm: bool = False
    idle_seconds: float = 60.0
    silence_seconds: float = SILENCE_SECONDS


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, or as an instance until the job has ended.

    Raises
    ------
    dl4mic.manifest.ManifestError
        The service folder cannot be used.
    OSError
        The address cannot be listened on.
    """
    ending = Ending()
    service = read_service(settings.service)
    check_address(settings.listen)  # a host that lives there may be at work on the jobs' folder
    jobs = Jobs(
        service,
        settings.jobs,
        settings.roots,
        settings.attempt,
        ending.come,
        settings.silence_seconds,
    )
    warm = WarmWorkers(jobs, settings.idle_seconds, settings.silence_seconds)
    listening = listen(
        settings.listen,
        {
            add_NetworkServiceServicer_to_server: NetworkServicer(jobs, warm.predict_image),
            add_JobServiceServicer_to_server: JobServicer(jobs),
            add_DataServiceServicer_to_server: DataServicer(jobs.locations),
        },
    )
    ending.come_by_signals()
    log.info("serving %s on %s", ", ".join(service.networks), listening.address)
    _announce(listening.address)
    _wait(ending, settings, jobs, warm)
    listening.health.enter_graceful_shutdown()
    jobs.close()
    warm.close()
    listening.server.stop(LAST_WATCHERS_SECONDS).wait()


def _announce(address: str) -> None:
    """Tell whoever started this process where it listens: a line of JSON on standard output."""
    sys.stdout.write(json.dumps({"address": address}) + "\n")
    sys.stdout.flush()


def _wait(ending: Ending, settings: Settings, jobs: Jobs, warm: WarmWorkers) -> None:
    """Wait for the end; an instance that nobody calls ends by itself, as its orchestrator may be gone for good."""
    if settings.attempt is None and not settings.warm:
        ending.wait()
        return
    while not ending.wait(1.0):
        idle = time.monotonic() - warm.last_used
        if not jobs.all() and idle > settings.idle_seconds:
            log.info("nobody called for %g s", idle)
            return


class JsonFormatter(logging.Formatter):
    """One JSON line per fact."""

    def format(self, record: logging.LogRecord) -> str:
        """Write a record as a line of JSON."""
        fact = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            fact["exception"] = self.formatException(record.exc_info)
        return json.dumps(fact)
