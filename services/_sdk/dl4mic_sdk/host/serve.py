# SPDX-License-Identifier: BSD-3-Clause
"""Starts the host of a service and ends it well."""

from __future__ import annotations

import fcntl
import json
import logging
import socket
import sys
import time
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Mapping, Optional, TextIO

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
from dl4mic_sdk.host.token_check import TokenCheck
from dl4mic_sdk.host.warm import WarmWorkers

LOCK = ".lock"
"""Of a folder of jobs."""

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
    announce
        File to write the address into.
    token
        File with what each call must show, but for those that ask for health; None where everybody who reaches the
        address may call.
    """

    service: Path
    listen: str
    jobs: Path
    roots: Mapping[str, Path]
    attempt: Optional[int] = None
    warm: bool = False
    idle_seconds: float = 60.0
    silence_seconds: float = SILENCE_SECONDS
    announce: Optional[Path] = None
    token: Optional[Path] = None

    @property
    def is_instance(self) -> bool:
        """Whether it is an orchestrator's, which has many at work on its jobs."""
        return self.attempt is not None or self.warm


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, or as an instance until the job has ended.

    Raises
    ------
    dl4mic.manifest.ManifestError
        The service folder cannot be used.
    OSError
        The address cannot be listened on, another service works on the jobs, or there is no token.
    """
    ending = Ending()
    service = read_service(settings.service)
    check_address(settings.listen)
    checks = [] if settings.token is None else [TokenCheck(settings.token)]
    lock = None if settings.is_instance else _lock(settings.jobs)
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
        interceptors=checks,
    )
    ending.come_by_signals()
    log.info("serving %s on %s", ", ".join(service.networks), listening.address)
    _announce(listening.address, settings.announce)
    _wait(ending, settings, jobs, warm)
    listening.health.enter_graceful_shutdown()
    jobs.close()
    warm.close()
    listening.server.stop(LAST_WATCHERS_SECONDS).wait()
    if lock is not None:
        lock.close()


def _lock(jobs: Path) -> TextIO:
    """Keep another service off the jobs of this one, which it would take for a dead one's; ends with the process."""
    jobs.mkdir(parents=True, exist_ok=True)
    file = (jobs / LOCK).open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        words = "cannot have {} for its own: {}; end the service that works there, or name another folder by --jobs"
        raise OSError(words.format(jobs, error.strerror)) from error
    return file


def _announce(address: str, file: Optional[Path]) -> None:
    """Tell whoever started this process where it listens: a line of JSON on standard output, and in a file."""
    sys.stdout.write(json.dumps({"address": address}) + "\n")
    sys.stdout.flush()
    if file is None:
        return
    try:
        draft = file.with_name(file.name + ".new")
        draft.write_text(json.dumps({"address": _seen_from_elsewhere(address)}), encoding="utf-8")
        draft.replace(file)
    except OSError as error:
        log.warning("the address cannot be written into %s: %s", file, error)


def _seen_from_elsewhere(address: str) -> str:
    """Put this machine's address in place of that which stands for all of its own."""
    host, _, port = address.rpartition(":")
    if host != "0.0.0.0":  # noqa: S104 - it is compared, not bound
        return address
    own = socket.gethostbyname(socket.gethostname())
    if ip_address(own).is_loopback:
        raise OSError("this machine's name stands for {}, which others cannot dial".format(own))
    return "{}:{}".format(own, port)


def _wait(ending: Ending, settings: Settings, jobs: Jobs, warm: WarmWorkers) -> None:
    """Wait for the end; an instance that nobody calls ends by itself, as its orchestrator may be gone for good."""
    if not settings.is_instance:
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
