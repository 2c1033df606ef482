# SPDX-License-Identifier: BSD-3-Clause
"""Nodes of a real cluster without machines: this process does for them what their kubelets would do.

Only pods that tolerate them come there, and their pods have addresses of this machine.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Protocol
from unittest import mock

import urllib3
from kubernetes.config import kube_config

from dl4mic_orchestrator.backends.kubernetes.cache import ExpiredError
from dl4mic_orchestrator.backends.kubernetes.client import NODES, PODS, ApiError, ClusterClient

Object = dict[str, Any]

TAINT = "dl4mic-test/played"
LABELS = {TAINT: "true"}
TOLERATION = {"key": TAINT, "operator": "Exists"}
"""By which pods choose these nodes, and are let in."""

CROWDED_ADDRESS = "127.77.0.1"
"""Of all pods; the instances that are played there tell their jobs apart."""

GPU_MEMORY_MIB = 16384
_BEAT_SECONDS = 10.0
"""The cluster takes a node for lost that says nothing for 40 s."""

_PAUSE_SECONDS = 0.5


class Pods(Protocol):
    """What runs in the pods."""

    def start(self, pod: Object) -> str:
        """Start what a pod is to run; return the address that it has."""

    def end(self, pod: Object) -> None:
        """End it."""


class Crowded:
    """Pods that do nothing: what is played answers for all of them."""

    def start(self, pod: Object) -> str:
        return CROWDED_ADDRESS

    def end(self, pod: Object) -> None:
        pass


class NodeClient(ClusterClient):
    """The product's own client, which can do besides what kubelets do: tell how things are."""

    def __init__(self, namespace: str, kubeconfig: str) -> None:
        with mock.patch.object(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", kubeconfig):
            super().__init__(namespace)

    def tell(self, path: str, status: Object) -> None:
        """Change the status of an object; one that is gone has none."""
        headers = {"Accept": "application/json", "Content-Type": "application/merge-patch+json"}
        call = self._client.param_serialize(
            "PATCH", path, header_params=headers, body={"status": status}, auth_settings=["BearerToken"]
        )  # fmt: skip
        try:
            answer = self._client.call_api(*call, _request_timeout=30.0).response
        except urllib3.exceptions.HTTPError as error:
            raise ApiError(0, f"the API server cannot be reached: {error}") from error
        if answer.status not in (200, 404):
            raise ApiError(answer.status, answer.data.decode("utf-8", "replace"))


class PlayedNodes:
    """Some nodes with GPUs, as long as the context lasts.

    Attributes
    ----------
    most
        Pods that each node had at once.
    """

    def __init__(self, client: NodeClient, namespace: str, pods: Pods, count: int, gpus: int):
        self.names = [f"played-{number}" for number in range(count)]
        self.most: Counter[str] = Counter()
        self._alive = set(self.names)
        self._client = client
        self._namespace = namespace
        self._pods = pods
        self._gpus = str(gpus)
        self._at: dict[str, str] = {}
        self._stopped = threading.Event()

    def __enter__(self) -> PlayedNodes:
        self._delete()
        for name in self.names:
            self._client.create(NODES, _node(name))
            self._beat(name)
        for work in (self._stay_alive, self._follow):
            threading.Thread(target=work, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopped.set()
        self._delete()

    def fall_silent(self, name: str) -> None:
        """Have a node say no more, and do no more; the cluster finds that out by itself."""
        self._alive.discard(name)

    def take_away(self, name: str) -> None:
        """Have a node vanish, and the cluster told of it, as by whoever rents machines out."""
        self.fall_silent(name)
        self._client.delete(NODES, name)

    def _delete(self) -> None:
        for name in self.names:
            self._client.delete(NODES, name)

    def _stay_alive(self) -> None:
        while not self._stopped.wait(_BEAT_SECONDS):
            for name in sorted(self._alive):
                with suppress(ApiError):  # the next beat is soon
                    self._beat(name)

    def _beat(self, name: str) -> None:
        resources = {"cpu": "64", "memory": "512Gi", "pods": "110", "nvidia.com/gpu": self._gpus}
        ready = {"type": "Ready", "status": "True", "reason": "Played", "lastHeartbeatTime": _now()}
        status = {"capacity": resources, "allocatable": resources, "conditions": [ready]}
        self._client.tell(f"/api/v1/nodes/{name}/status", status)

    def _follow(self) -> None:
        """See every pod, as it is and as it changes, until the end."""
        while not self._stopped.wait(_PAUSE_SECONDS):
            try:
                pods, version = self._client.list(PODS, {})
                there = {pod["metadata"]["uid"] for pod in pods}
                self._at = {uid: node for uid, node in self._at.items() if uid in there}
                self._see_all(pods)
                for change, pod in self._client.watch(PODS, {}, version):
                    if change == "DELETED":
                        self._at.pop(pod["metadata"]["uid"], None)
                    elif change != "BOOKMARK":
                        self._see_all([pod])
            except (OSError, ExpiredError):
                continue  # it is listed anew

    def _see_all(self, pods: Sequence[Any]) -> None:
        for pod in pods:
            if not self._stopped.is_set() and pod["spec"].get("nodeName") in self._alive:
                self._see(pod)

    def _see(self, pod: Object) -> None:
        name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
        if "deletionTimestamp" in pod["metadata"]:
            self._pods.end(pod)
            self._client.delete(PODS, name, 0)
        elif uid not in self._at:
            node = self._at[uid] = pod["spec"]["nodeName"]
            self.most[node] = max(self.most[node], list(self._at.values()).count(node))
            path = f"/api/v1/namespaces/{self._namespace}/pods/{name}/status"
            self._client.tell(path, _running(pod, self._pods.start(pod)))


def _node(name: str) -> Object:
    gpu = {"nvidia.com/gpu.memory": str(GPU_MEMORY_MIB), "nvidia.com/gpu.product": "PLAYED"}
    labels = {**LABELS, **gpu, "kubernetes.io/hostname": name}
    taint = {"key": TAINT, "value": "true", "effect": "NoSchedule"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "spec": {"taints": [taint]},
    }


def _running(pod: Object, address: str) -> Object:
    container = pod["spec"]["containers"][0]
    status = {
        "name": container["name"],
        "image": container["image"],
        "imageID": "",
        "ready": True,
        "restartCount": 0,
        "state": {"running": {"startedAt": _now()}},
    }
    kinds = ("PodScheduled", "Initialized", "ContainersReady", "Ready")
    return {
        "phase": "Running",
        "podIP": address,
        "podIPs": [{"ip": address}],
        "startTime": _now(),
        "conditions": [
            {"type": kind, "status": "True", "lastTransitionTime": _now()} for kind in kinds
        ],
        "containerStatuses": [status],
    }


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
