# SPDX-License-Identifier: BSD-3-Clause
"""An installation of the chart, called from outside of the cluster with TLS and a token."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import certificates
import grpc
import pytest
import yaml
from charts import CHART
from servers import Server

from dl4mic.v1.data_pb2 import Dataset
from dl4mic.v1.job_pb2 import GetJobRequest, Job, JobEvent, WatchJobRequest
from dl4mic.v1.model_pb2_grpc import ModelServiceStub
from dl4mic_client.access import Access
from dl4mic_client.address import parse
from dl4mic_client.client import Client
from dl4mic_client.connection import Connection

from .cluster import Cluster, Object
from .site import Values

RELEASE = "imaging"
NAME = f"{RELEASE}-dl4mic"
"""Of what the chart makes."""

WATCH_SECONDS = 180

_GONE = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
"""What a call meets whose server is away, and one that comes in the moment of its end."""

_PATIENT = {
    "name": [{}],
    "waitForReady": True,
    "retryPolicy": {
        "maxAttempts": 5,
        "initialBackoff": "0.5s",
        "maxBackoff": "5s",
        "backoffMultiplier": 2,
        "retryableStatusCodes": [code.name for code in _GONE],
    },
}
_OPTIONS = [
    ("grpc.service_config", json.dumps({"methodConfig": [_PATIENT]})),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 5000),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.enable_http_proxy", 0),
]


class Installation(Server):
    """One orchestrator on a cluster.

    Parameters
    ----------
    values
        Beside those that make it an installation for tests; they win.
    folder
        For certificate, token and values.
    """

    def __init__(self, cluster: Cluster, namespace: str, values: Values, folder: Path) -> None:
        self.kind = "orchestrator"
        self.cluster = cluster
        self.namespace = namespace
        self.data = Path()
        self._folder = folder
        self._values = values
        self._access = self._make_secrets()

    def install(self, *flags: str) -> None:
        """Install, or upgrade; flags are Helm's. Return when it answers."""
        place = (RELEASE, str(CHART), "--namespace", self.namespace, *self._files())
        wait = ("--wait", "--timeout", "5m")
        said = self.cluster.run("helm", "upgrade", "--install", *place, *wait, *flags, check=False)
        if "STATUS: deployed" not in said:
            pytest.fail(f"{said}\n{self.told()}")
        self.address = self._find_address()
        self.channel = self._access.open(parse(self.address), _OPTIONS)

    @property
    def has_data_root(self) -> bool:
        """Say whether the folder that was sent is a data root, too."""
        return bool(self._values.get("dataRoots"))

    def client(self, access: Access | None = None) -> Client:
        """Connect as a user's program does."""
        return Client(Connection(parse(self.address), access=access or self._access))

    def admit(self, name: str) -> Access:
        """Let somebody else in, by a line more in the Secret of tokens."""
        token = self._make_token(name)
        self._secret("tokens", tokens=self._folder / "tokens")
        return replace(self._access, token=token)

    def variables(self) -> dict[str, str]:
        """Give the environment in which the command line calls it, as a user sets it."""
        return {
            **self.cluster.environment(),
            "DL4MIC_SERVER": self.address,
            "DL4MIC_CA": str(self._folder / "tls.crt"),
            "DL4MIC_TLS_NAME": self._access.name,
            "DL4MIC_TOKEN_FILE": str(self._folder / "token"),
        }

    def send(self, folder: Path) -> None:
        """Send a folder, whose parts `dataset` then names."""
        with self.client() as client:
            self.location = client.push(folder)

    def dataset(self, part: str = "train") -> Dataset:
        """Name a part of what was sent."""
        place = f"{self.location}/{part}"
        return Dataset(source=f"{place}/images", target=f"{place}/masks")

    @property
    def models(self) -> ModelServiceStub:
        """Call its registry."""
        return ModelServiceStub(self.channel)

    def job(self, job_id: str) -> Job:
        """Look at a job."""
        return self.jobs.GetJob(GetJobRequest(job_id=job_id), timeout=60)

    def watch(self, job_id: str, after: int = 0) -> Iterator[JobEvent]:
        """Follow a job to its end, through restarts of the orchestrator."""
        end = time.monotonic() + WATCH_SECONDS
        while True:
            request = WatchJobRequest(job_id=job_id, after_sequence=after)
            left = end - time.monotonic()
            try:
                for event in self.jobs.WatchJob(request, timeout=left):
                    after = event.sequence
                    yield event
                return
            except grpc.RpcError as error:
                if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                    pytest.fail(f"it did not end in {WATCH_SECONDS} s: {self.job(job_id)}")
                if error.code() not in _GONE:
                    raise

    def wait(self, job_id: str) -> Job:
        """Wait for the end of a job."""
        for _ in self.watch(job_id):
            pass
        return self.job(job_id)

    def events(self, job_id: str, after: int = 0) -> list[JobEvent]:
        """Wait for the end of a job; give its events."""
        return list(self.watch(job_id, after))

    def wait_for(self, job_id: str, kind: str, after: int = 0) -> None:
        """Wait for an event of a kind."""
        with closing(self.watch(job_id, after)) as events:
            for event in events:
                if event.HasField(kind):  # type: ignore[arg-type]
                    return
        pytest.fail(f"the job ended without a {kind}: {self.job(job_id)}")

    def kubectl(self, *words: str, check: bool = True) -> str:
        """Run kubectl in its namespace."""
        return self.cluster.kubectl("--namespace", self.namespace, *words, check=check)

    def get(self, *words: str) -> Object:
        """Read objects of its namespace."""
        return self.cluster.get("--namespace", self.namespace, *words)

    def pods(self, job_id: str) -> list[Object]:
        """Give the pods of a job."""
        found: list[Object] = self.get("pods", f"--selector=dl4mic-job={job_id}")["items"]
        return found

    def told(self) -> str:
        """What there is to read where something went wrong."""
        log = ("logs", f"deployment/{NAME}", "--tail=60")
        described = self.kubectl("describe", "pods", check=False)
        return f"{described}\n{self.kubectl(*log, check=False)}"

    def _files(self) -> list[str]:
        """Write the values, those of the cluster last: they win."""
        flags = []
        for name, values in (("tests", _FOR_TESTS), ("site", self._values)):
            path = self._folder / f"{name}.yaml"
            path.write_text(yaml.safe_dump(values))
            flags += ["--values", str(path)]
        return flags

    def _make_secrets(self) -> Access:
        name = f"{NAME}.{self.namespace}.svc"
        pair = certificates.make(self._folder, name)
        files = {"tls.crt": pair.certificate, "tls.key": pair.key, "ca.crt": pair.certificate}
        self._secret("certificate", "--type=kubernetes.io/tls", **files)
        token = self._make_token("tester")
        (self._folder / "token").write_text(token)
        self._secret("tokens", tokens=self._folder / "tokens")
        self._secret("tester", token=self._folder / "token")
        return Access(token, tls=True, authorities=pair.certificate.read_bytes(), name=name)

    def _make_token(self, name: str) -> str:
        tokens = ("--tokens", str(self._folder / "tokens"))
        command = [sys.executable, "-m", "dl4mic_client", "token", name, *tokens]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def _secret(self, name: str, *flags: str, **files: Path) -> None:
        parts = [f"--from-file={key}={path}" for key, path in files.items()]
        shown = ("--dry-run=client", "--output=json")
        secret = self.kubectl("create", "secret", "generic", name, *flags, *parts, *shown)
        self.cluster.apply(json.loads(secret))

    def _find_address(self) -> str:
        """Where the service's port is on a node."""
        (port,) = self.get("service", NAME)["spec"]["ports"]
        addresses = self.cluster.node()["status"]["addresses"]
        (host,) = [each["address"] for each in addresses if each["type"] == "InternalIP"]
        return f"{host}:{port['nodePort']}"


_FOR_TESTS: Values = {
    "tls": {"secret": "certificate"},
    "tokens": {"secret": "tokens"},
    "test": {"enabled": True, "tokenSecret": "tester"},
    "service": {"type": "NodePort"},
    "jobs": {"graceSeconds": 20, "ttlSeconds": 60},
}


def wait_until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait for what others bring about."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come about in time"
        time.sleep(0.2)
