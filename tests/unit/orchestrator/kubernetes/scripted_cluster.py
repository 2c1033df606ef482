# SPDX-License-Identifier: BSD-3-Clause
"""A cluster's API server in this process, with the calls of `ClusterClient`; what a cluster does, the test says."""

from __future__ import annotations

import copy
import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from dl4mic_orchestrator.backends.kubernetes.cache import ExpiredError, RefusedError
from dl4mic_orchestrator.backends.kubernetes.client import (
    EVENTS,
    NODES,
    PODS,
    ApiError,
    Kind,
)

NOW = "2026-11-01T12:00:00Z"


class ScriptedCluster:
    """Objects, their changes, and the calls that were made.

    Attributes
    ----------
    down
        It answers nothing.
    forbidden
        Kinds that may not be listed.
    refusal
        What making an object is answered with, next time.
    """

    def __init__(self, version: tuple[int, int] = (1, 30)) -> None:
        self._version = version
        self._news = threading.Condition()
        self.changes: list[tuple[int, str, str, dict]] = []
        self._numbers = itertools.count(1)
        self._oldest = 0
        self._breaks = 0
        self.objects: dict[tuple[str, str], dict] = {}
        self.calls: Counter[str] = Counter()
        self.down = False
        self.forbidden: set[Kind] = set()
        self.refusal: ApiError | None = None
        self.keeps_pods = False

    # What a client calls.

    def version(self) -> tuple[int, int]:
        self._count("version")
        return self._version

    def create(self, kind: Kind, manifest: dict) -> dict:
        self._count(f"create {kind.plural}")
        refusal, self.refusal = self.refusal, None
        if refusal is not None:
            raise refusal
        if (kind.plural, manifest["metadata"]["name"]) in self.objects:
            raise ApiError(409, "there is one of this name")
        return self.set(kind, manifest)

    def get(self, kind: Kind, name: str) -> dict:
        self._count(f"get {kind.plural}")
        if (kind.plural, name) not in self.objects:
            raise ApiError(404, "there is none")
        return copy.deepcopy(self.objects[kind.plural, name])

    def delete(self, kind: Kind, name: str, grace_seconds: int | None = None) -> None:
        self._count(f"delete {kind.plural}")
        if kind == PODS and self.keeps_pods and grace_seconds != 0:
            pod = copy.deepcopy(self.objects[kind.plural, name])
            pod["metadata"]["deletionTimestamp"] = NOW
            self.set(PODS, pod)
        else:
            self.remove(kind, name)

    def list(self, kind: Kind, query: Mapping[str, str]) -> tuple[Sequence[dict], str]:
        self._count(f"list {kind.plural}")
        if kind in self.forbidden:
            raise RefusedError(f"{kind.plural} is forbidden")
        with self._news:
            found = [each for (plural, _), each in self.objects.items() if plural == kind.plural]
            return copy.deepcopy(found), str(self._newest())

    def watch(self, kind: Kind, query: Mapping[str, str], version: str) -> Iterator[Any]:
        self._count(f"watch {kind.plural}")
        after, breaks = int(version), self._breaks
        if after < self._oldest:
            raise ExpiredError("too old")
        while breaks == self._breaks:
            with self._news:
                changes = [
                    (number, change, copy.deepcopy(each))
                    for number, plural, change, each in self.changes
                    if number > after and plural == kind.plural
                ]
                if not changes:
                    self._news.wait(0.02)
            for number, change, each in changes:
                after = number
                yield change, each

    def log(self, pod: str, most_bytes: int) -> str:
        self._count("log")
        return f"the words of {pod}"

    # What a test says.

    def set(self, kind: Kind, each: dict) -> dict:
        """Make or change an object."""
        with self._news:
            key = kind.plural, each["metadata"]["name"]
            change = "MODIFIED" if key in self.objects else "ADDED"
            made = copy.deepcopy(each)
            number = next(self._numbers)
            made["metadata"].setdefault("uid", f"uid-{number}")
            made["metadata"].setdefault("creationTimestamp", f"2026-11-01T12:00:{number % 60:02}Z")
            made["metadata"]["resourceVersion"] = str(number)
            made.setdefault("status", {})
            self.objects[key] = made
            self.changes.append((number, kind.plural, change, made))
            self._news.notify_all()
            return copy.deepcopy(made)

    def remove(self, kind: Kind, name: str) -> None:
        """Take an object away."""
        with self._news:
            lost = self.objects.pop((kind.plural, name), None)
            if lost is not None:
                number = next(self._numbers)
                lost = copy.deepcopy(lost)
                lost["metadata"]["resourceVersion"] = str(number)
                self.changes.append((number, kind.plural, "DELETED", lost))
                self._news.notify_all()

    def break_watches(self, *, forget: bool = False) -> None:
        """End all watches; with `forget`, what has changed until now is not told any more."""
        with self._news:
            self._breaks += 1
            if forget:
                self._oldest = self._newest() + 1
                next(self._numbers)
                self.changes = []
            self._news.notify_all()

    def pod_of(self, name: str, number: int = 0) -> dict:
        """Do as a controller does: make the pod of a Job or Deployment."""
        job = self.objects.get(("jobs", name))
        owner = job or self.objects["deployments", name]
        template = copy.deepcopy(owner["spec"]["template"])
        metadata = {**template["metadata"], "name": f"{name}-{number}"}
        if job:
            metadata["labels"]["job-name"] = name
        pod = {"metadata": metadata, "spec": template["spec"], "status": {"phase": "Pending"}}
        return self.set(PODS, pod)

    def unschedulable(self, pod: dict, message: str) -> None:
        condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}
        self.change(pod, conditions=[{**condition, "message": message}])

    def schedule(self, pod: dict, node: str = "gpu-1") -> None:
        self.change(pod, spec={"nodeName": node}, containerStatuses=[_container(waiting={})])

    def run(self, pod: dict, node: str = "gpu-1") -> None:
        running = [_container(running={"startedAt": NOW})]
        self.change(
            pod, {"nodeName": node}, phase="Running", podIP="10.1.2.3", containerStatuses=running
        )

    def end(self, pod: dict, status: int, reason: str = "Error") -> None:
        ended = [_container(terminated={"exitCode": status, "reason": reason})]
        self.change(pod, phase="Failed" if status else "Succeeded", containerStatuses=ended)

    def change(self, pod: dict, spec: dict | None = None, **status: Any) -> None:
        known = copy.deepcopy(self.objects["pods", pod["metadata"]["name"]])
        known["spec"].update(spec or {})
        known["status"].update(status)
        self.set(PODS, known)

    def warn(self, about: str, reason: str, message: str, seconds: int = 0) -> None:
        """Make a warning that has come again and again for so long."""
        number = next(self._numbers)
        minutes, rest = divmod(seconds, 60)
        event = {
            "metadata": {"name": f"event-{number}"},
            "involvedObject": {"name": about},
            "type": "Warning",
            "reason": reason,
            "message": message,
            "firstTimestamp": NOW,
            "lastTimestamp": f"2026-11-01T12:{minutes:02}:{rest:02}Z",
        }
        self.set(EVENTS, event)

    def node(self, name: str, gpus: int = 0, ready: str = "True", **labels: str) -> None:
        conditions = [{"type": "Ready", "status": ready, "lastTransitionTime": NOW}]
        allocatable = {"cpu": "16", "memory": "64Gi"}
        if gpus:
            allocatable["nvidia.com/gpu"] = str(gpus)
        named = {f"nvidia.com/gpu.{label}": value for label, value in labels.items()}
        status = {"conditions": conditions, "allocatable": allocatable}
        self.set(NODES, {"metadata": {"name": name, "labels": named}, "status": status})

    def _newest(self) -> int:
        return max(
            (int(e["metadata"]["resourceVersion"]) for e in self.objects.values()), default=0
        )

    def _count(self, call: str) -> None:
        self.calls[call] += 1
        if self.down:
            raise ApiError(0, "the API server cannot be reached")


def _container(**state: Any) -> dict:
    return {"name": "service", "state": state}


def eventually(holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    end = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.01)
