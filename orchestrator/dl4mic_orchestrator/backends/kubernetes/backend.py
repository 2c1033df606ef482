# SPDX-License-Identifier: BSD-3-Clause
"""Launch, find and end instances on Kubernetes: a call to launch, two to end; all else is read from watches."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Protocol

from dl4mic_orchestrator.backends.base import (
    LaunchSpec,
    Probe,
    Progress,
    ServiceSpec,
    State,
    UnavailableError,
)
from dl4mic_orchestrator.backends.images import ServiceImages, image_of
from dl4mic_orchestrator.backends.kubernetes import client
from dl4mic_orchestrator.backends.kubernetes.announcement import announced
from dl4mic_orchestrator.backends.kubernetes.cache import Mirror, Object
from dl4mic_orchestrator.backends.kubernetes.client import ApiError, Kind
from dl4mic_orchestrator.backends.kubernetes.instance_tokens import InstanceTokens
from dl4mic_orchestrator.backends.kubernetes.manifests import (
    INSTANCE,
    JOB,
    Launch,
    Manifest,
    Version,
    announcement_beside,
    manifest_of,
    name_of,
    selector_of,
)
from dl4mic_orchestrator.backends.kubernetes.nodes import capacity_of, is_lost
from dl4mic_orchestrator.backends.kubernetes.reading import (
    Sight,
    has_ended,
    probe_of,
    queue_positions,
)
from dl4mic_orchestrator.backends.kubernetes.settings import KubernetesSettings
from dl4mic_orchestrator.backends.kubernetes.volumes import NotOnVolumeError, Volumes
from dl4mic_orchestrator.records import Capacity

_FIRST_LOOK_SECONDS = 60.0
_KILL_SECONDS = 15.0
"""Beyond a pod's grace period; then it is deleted without asking its node, which may be gone."""

_MOST_LOG_BYTES = 1 << 20

log = logging.getLogger(__name__)


class Api(Protocol):
    """The calls of a cluster that are used; see `client.ClusterClient`."""

    def version(self) -> Version:
        """Ask for the server's version."""

    def create(self, kind: Kind, manifest: Manifest) -> Object:
        """Make an object."""

    def get(self, kind: Kind, name: str) -> Object:
        """Get an object."""

    def delete(self, kind: Kind, name: str, grace_seconds: int | None = None) -> None:
        """Delete an object; one that is gone is no error."""

    def list(self, kind: Kind, query: Mapping[str, str]) -> tuple[Sequence[Object], str]:
        """List objects."""

    def watch(
        self, kind: Kind, query: Mapping[str, str], version: str
    ) -> Iterator[tuple[str, Object]]:
        """Tell what changes."""

    def log(self, pod: str, most_bytes: int) -> str:
        """Get what a pod said."""


class KubernetesBackend:
    """Jobs and Deployments of one namespace.

    Parameters
    ----------
    images
        By service.
    volumes
        Where the orchestrator's folders lie on claims.
    tokens
        Of the instances.

    Raises
    ------
    ConnectionError
        The cluster does not answer, or lets us read nothing.
    """

    def __init__(
        self,
        api: Api,
        settings: KubernetesSettings,
        images: Mapping[str, ServiceImages],
        volumes: Volumes,
        tokens: InstanceTokens,
    ) -> None:
        self._api = api
        self._settings = settings
        self._images = images
        self._volumes = volumes
        self._tokens = tokens
        self._positions: tuple[int, dict[str, int]] = (-1, {})
        self._news = threading.Condition()
        selector = ",".join(f"{name}={value}" for name, value in selector_of(settings).items())
        ours = {"labelSelector": selector}
        self._mirrors = {
            client.JOBS: self._mirror(client.JOBS, ours),
            client.DEPLOYMENTS: self._mirror(client.DEPLOYMENTS, ours),
            client.PODS: self._mirror(client.PODS, ours, partial(_owner_of, settings)),
            client.EVENTS: self._mirror(client.EVENTS, {"fieldSelector": "type=Warning"}, _subject),
            client.NODES: self._mirror(client.NODES, {}, _name),
        }
        self._version = self._first_look()
        self._belonging = self._find_owner()

    def prepare(self, service: ServiceSpec, progress: Progress) -> None:
        """See that the service has an image; nodes fetch it."""
        image_of(self._images, service.name, gpu=False)

    def launch(self, spec: LaunchSpec, save: Callable[[State], None]) -> State:
        """Have the cluster make a Job, or a Deployment."""
        kind = client.DEPLOYMENTS if spec.warm else client.JOBS
        name = name_of(spec.instance_id, self._settings.labels)
        image = image_of(self._images, spec.service.name, gpu=bool(spec.grant.gpus))
        launch = Launch(spec, image, self._tokens.file(name))
        try:
            manifest = manifest_of(launch, self._settings, self._volumes, self._version)
        except NotOnVolumeError as error:
            hint = "Name data in a data root of the server, or upload them."
            raise UnavailableError("INVALID_INPUT", str(error), hint) from error
        manifest["metadata"].update(self._belonging)
        state = {"kind": kind.plural, "name": name, "log": str(spec.log)}
        save(state)
        self._tokens.give(name)
        self._mirrors[kind].cache.put(self._create(kind, manifest, save))
        return state

    def probe(self, states: Sequence[State]) -> list[Probe]:
        """Look at instances, as the watches told of them last."""
        return [self._look(state) for state in states]

    def stop(self, state: State, grace_seconds: float) -> None:
        """Delete an instance's objects; return when its pods have ended, or their node is gone."""
        if "name" not in state:
            return
        self._keep_log(state)
        self._api.delete(_kind(state), state["name"])
        patience = 0.0 if self._is_lost(state) else grace_seconds + _KILL_SECONDS
        if not self._end_pods(state, round(grace_seconds), patience):
            log.warning("the pods of %s do not end; their node is not waited for", state["name"])
            self._end_pods(state, 0, _KILL_SECONDS)
        self._tokens.take(state["name"])

    def capacity(self) -> Capacity:
        """Say what the nodes have in all."""
        return capacity_of(self._mirrors[client.NODES].cache.all(), self._settings)

    def sweep(self, known: Callable[[], Container[str]]) -> None:
        """Delete what is ours and nobody knows."""
        found = [(kind, each) for kind in _OWNERS for each in self._mirrors[kind].cache.all()]
        ids = known()
        for kind, each in found:
            instance_id = each["metadata"].get("labels", {}).get(INSTANCE, "")
            if instance_id not in ids and "deletionTimestamp" not in each["metadata"]:
                log.warning("nobody knows %s: it is deleted", each["metadata"]["name"])
                self._api.delete(kind, each["metadata"]["name"])
                self._tokens.take(each["metadata"]["name"])

    def _mirror(
        self, kind: Kind, query: Mapping[str, str], key_of: Callable[[Object], str] = lambda _: ""
    ) -> Mirror:
        return Mirror(kind.plural, _Watched(self._api, kind, query), self._tell, key_of)

    def _first_look(self) -> Version:
        try:
            version = self._api.version()
        except OSError as error:
            raise ConnectionError(f"the cluster cannot be used: {error}") from error
        for mirror in self._mirrors.values():
            mirror.start()
        end = time.monotonic() + _FIRST_LOOK_SECONDS
        for kind, mirror in self._mirrors.items():
            if not mirror.await_synced(max(0.0, end - time.monotonic())):
                raise ConnectionError(f"the cluster does not tell of {kind.plural}")
            if mirror.refused and kind in (client.JOBS, client.PODS):
                raise ConnectionError(f"the cluster does not let us read {kind.plural}")
        return version

    def _find_owner(self) -> Manifest:
        """Say in metadata whose an object is: the cluster deletes it with its owner, and nobody else would."""
        name = self._settings.owner
        if not name:
            return {}
        try:
            owner = self._api.get(client.DEPLOYMENTS, name)
        except ApiError as error:
            raise ConnectionError(f"owner: there is no Deployment {name}: {error}") from error
        reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
        return {"ownerReferences": [{**reference, "uid": owner["metadata"]["uid"]}]}

    def _tell(self) -> None:
        with self._news:
            self._news.notify_all()

    def _create(self, kind: Kind, manifest: Manifest, save: Callable[[State], None]) -> Object:
        """Make an object; take one for it that was made already, by a call whose answer was lost."""
        try:
            return self._api.create(kind, manifest)
        except ApiError as error:
            if error.status != HTTPStatus.CONFLICT:
                raise _cannot_create(error) from error
            there = self._conflicting(kind, manifest["metadata"]["name"], error)
        if not selector_of(self._settings).items() <= there["metadata"].get("labels", {}).items():
            save({})  # what is saved is taken away with the attempt
            raise _refused(f"{_name(there)} is there already, and is not ours")
        if "deletionTimestamp" not in there["metadata"]:
            return there
        hint = "It is tried again by itself."
        raise UnavailableError("PREEMPTED", "what ran before is being taken away still", hint)

    def _conflicting(self, kind: Kind, name: str, conflict: ApiError) -> Object:
        """Get what has a name already; there is none where a quota was counted anew meanwhile: a conflict as well."""
        try:
            return self._api.get(kind, name)
        except ApiError as error:
            is_absent = error.status == HTTPStatus.NOT_FOUND
            raise _cannot_create(conflict if is_absent else error) from error

    def _look(self, state: State) -> Probe:
        if "name" not in state:
            return Probe(alive=False, address="", place="")
        return replace(_heard(state, self._probe(state)), token=self._tokens.file(state["name"]))

    def _probe(self, state: State) -> Probe:
        pods = self._mirrors[client.PODS].cache.of(state["name"])
        own = sorted((pod for pod, _ in pods), key=_made)
        return probe_of(
            Sight(
                now=datetime.now(UTC),
                owner=self._mirrors[_kind(state)].cache.get(state["name"]),
                pods=own,
                gone=frozenset(pod["metadata"]["uid"] for pod, is_there in pods if not is_there),
                events=list(self._events([state["name"], *map(_name, own)])),
                node=self._node,
                pod_uid=state.get("pod", ""),
                ahead=self._ahead(own[0]) if own else 0,
            )
        )

    def _events(self, names: Iterable[str]) -> Iterator[Object]:
        events = self._mirrors[client.EVENTS].cache
        return (event for name in names for event, _ in events.of(name))

    def _node(self, name: str) -> Object | None:
        """Get a node; None when it is gone, and {} when it was never seen: it may be new, or hidden from us."""
        seen = self._mirrors[client.NODES].cache.of(name)
        there = [node for node, is_there in seen if is_there]
        return there[0] if there else (None if seen else {})

    def _is_lost(self, state: State) -> bool:
        """Say whether its pods are on nodes that are lost, where nobody will end them."""
        nodes = [self._node(pod["spec"].get("nodeName", "")) for pod in self._pods(state)]
        return any(is_lost(node, datetime.now(UTC)) for node in nodes)

    def _ahead(self, pod: Object) -> int:
        """Count the pods that go first; for all of them at once, after each change."""
        cache = self._mirrors[client.PODS].cache
        revision = cache.revision
        if self._positions[0] != revision:
            self._positions = (revision, queue_positions(cache.all()))
        return self._positions[1].get(pod["metadata"]["uid"], 0)

    def _pods(self, state: State) -> list[Object]:
        pods = self._mirrors[client.PODS].cache.of(state["name"])
        return [pod for pod, is_there in pods if is_there]

    def _end_pods(self, state: State, grace_seconds: int, timeout_seconds: float) -> bool:
        """Delete the pods with a grace period of their own; wait until none runs, and say whether that is so.

        A kubelet takes ten seconds and more to let a pod go whose containers have ended: that is not waited for.
        """
        asked: set[str] = set()
        end = time.monotonic() + timeout_seconds
        while True:
            pods = self._pods(state)
            for pod in pods:
                if pod["metadata"]["uid"] not in asked:
                    asked.add(pod["metadata"]["uid"])
                    self._api.delete(client.PODS, pod["metadata"]["name"], grace_seconds)
            if all(map(has_ended, pods)):
                return True
            if time.monotonic() > end:
                return False
            with self._news:
                self._news.wait(1.0)

    def _keep_log(self, state: State) -> None:
        """Keep what the host said, where it did not end well: its pod goes, and its words with it."""
        for pod in self._pods(state):
            if pod["status"].get("phase") != "Failed" or not state.get("log"):
                continue
            try:
                words = self._api.log(pod["metadata"]["name"], _MOST_LOG_BYTES)
                Path(state["log"]).write_text(words, encoding="utf-8")
            except OSError as error:
                log.info("what %s said is lost: %s", pod["metadata"]["name"], error)


_OWNERS = (client.JOBS, client.DEPLOYMENTS)


class _Watched:
    """One kind of object of the cluster."""

    def __init__(self, api: Api, kind: Kind, query: Mapping[str, str]) -> None:
        self.list = partial(api.list, kind, query)
        self.watch = partial(api.watch, kind, query)


def _heard(state: State, probe: Probe) -> Probe:
    """Take an instance's own word for where it listens, while its node has not told yet that it runs."""
    if not probe.waiting or not probe.place or state["kind"] != client.JOBS.plural:
        return probe
    address = announced(announcement_beside(Path(state["log"])))
    return replace(probe, waiting="", address=address) if address else probe


def _kind(state: State) -> Kind:
    return next(kind for kind in _OWNERS if kind.plural == state["kind"])


def _owner_of(settings: KubernetesSettings, pod: Object) -> str:
    """Name a pod's Job, as the cluster does: it may have got its name from another version; or its Deployment."""
    labels = pod["metadata"].get("labels", {})
    return labels.get(JOB) or name_of(labels.get(INSTANCE, ""), settings.labels)


def _subject(event: Object) -> str:
    return str(event["involvedObject"].get("name", ""))


def _made(each: Object) -> str:
    return str(each["metadata"].get("creationTimestamp", ""))


def _name(each: Object) -> str:
    return str(each["metadata"]["name"])


def _cannot_create(error: ApiError) -> UnavailableError:
    """Say why the cluster makes no Job: what it refuses, an administrator must mend; what breaks off comes back."""
    if 400 <= error.status < 500 and error.status not in _PASSING:
        return _refused(str(error))
    hint = "It is tried again by itself."
    message = f"the cluster does not take the job: {error}"
    return UnavailableError("ENVIRONMENT_UNAVAILABLE", message, hint)


def _refused(words: str) -> UnavailableError:
    hint = "The administrator of the cluster can mend this; the job goes on by itself."
    message = f"the cluster refuses the job: {words}"
    return UnavailableError("ENVIRONMENT_UNAVAILABLE", message, hint)


_PASSING = (HTTPStatus.CONFLICT, HTTPStatus.TOO_MANY_REQUESTS)
"""Refusals that a server takes back by itself."""
