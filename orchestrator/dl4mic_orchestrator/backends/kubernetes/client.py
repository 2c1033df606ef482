# SPDX-License-Identifier: BSD-3-Clause
"""Speak with the cluster's API server through Kubernetes' official client: who we are, TLS and tokens are its own.

Objects go through as the JSON that they are: its typed models know one version of Kubernetes, and cost time.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import urllib3
from kubernetes import client, config

from dl4mic_orchestrator.backends.kubernetes.cache import ExpiredError, Object, RefusedError
from dl4mic_orchestrator.backends.kubernetes.manifests import Manifest, Version

_CALL_SECONDS = (5.0, 30.0)
_WATCH_SECONDS = 300
_SILENCE_SECONDS = 120.0
"""A server sends a bookmark each minute, but of events: a watch that says nothing for longer is dead, or quiet."""

_PAGE = 500

log = logging.getLogger(__name__)


class ApiError(OSError):
    """The API server refused a call, or could not be reached.

    Attributes
    ----------
    status
        Of HTTP; 0 when there was no answer.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Kind:
    """A kind of object: API group with version, and name in paths."""

    api: str
    plural: str
    namespaced: bool = True


JOBS = Kind("apis/batch/v1", "jobs")
DEPLOYMENTS = Kind("apis/apps/v1", "deployments")
PODS = Kind("api/v1", "pods")
EVENTS = Kind("api/v1", "events")
NODES = Kind("api/v1", "nodes", namespaced=False)


class ClusterClient:
    """Calls of one namespace of a cluster, as KUBECONFIG or our own pod's service account tells.

    Parameters
    ----------
    called
        Hears of each call: verb, plural of the kind, HTTP status.

    Raises
    ------
    ConnectionError
        Neither tells of a cluster.
    """

    def __init__(
        self, namespace: str, called: Callable[[str, str, int], None] = lambda *_: None
    ) -> None:
        self._namespace = namespace
        self._called = called
        self._client = client.ApiClient(_configuration())

    def version(self) -> Version:
        """Ask for the server's version."""
        answer = _content(self._call("get", "version", "/version"))
        return _leading_number(answer["major"]), _leading_number(answer["minor"])

    def create(self, kind: Kind, manifest: Manifest) -> Object:
        """Make an object; return it as the server made it.

        Raises
        ------
        ApiError
            With status 409 when there is one of its name, or a quota was counted anew meanwhile.
        """
        path = self._path(kind)
        made: Object
        made = _content(self._call("create", kind.plural, path, method="POST", body=manifest))
        return made

    def get(self, kind: Kind, name: str) -> Object:
        """Get an object, fresh from the server."""
        found: Object = _content(self._call("get", kind.plural, f"{self._path(kind)}/{name}"))
        return found

    def delete(self, kind: Kind, name: str, grace_seconds: int | None = None) -> None:
        """Delete an object, and in the background what belongs to it; one that is gone is no error."""
        body: Manifest = {"propagationPolicy": "Background"}
        if grace_seconds is not None:
            body["gracePeriodSeconds"] = grace_seconds
        path = f"{self._path(kind)}/{name}"
        try:
            self._call("delete", kind.plural, path, method="DELETE", body=body)
        except ApiError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise

    def list(self, kind: Kind, query: Mapping[str, str]) -> tuple[Sequence[Object], str]:
        """List objects, page by page; return them and the version of the list.

        Raises
        ------
        RefusedError
            We may not read them.
        """
        found: list[Object] = []
        path = self._path(kind)
        page: dict[str, str] = {"limit": str(_PAGE)}
        while True:
            try:
                answer = _content(self._call("list", kind.plural, path, {**query, **page}))
            except ApiError as error:
                if error.status == HTTPStatus.FORBIDDEN:
                    raise RefusedError(str(error)) from error
                raise
            found += answer["items"]
            if not answer["metadata"].get("continue"):
                return found, answer["metadata"]["resourceVersion"]
            page["continue"] = answer["metadata"]["continue"]

    def watch(
        self, kind: Kind, query: Mapping[str, str], version: str
    ) -> Iterator[tuple[str, Object]]:
        """Tell what changes, until the server ends it or is silent for long.

        Raises
        ------
        ExpiredError
            The server does not know the version any more.
        """
        more = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(_WATCH_SECONDS),
        }
        timeout = (_CALL_SECONDS[0], _SILENCE_SECONDS)
        path = self._path(kind)
        try:
            answer = self._call("watch", kind.plural, path, {**query, **more}, timeout=timeout)
        except ApiError as error:
            if error.status == HTTPStatus.GONE:
                raise ExpiredError(str(error)) from error
            raise
        with closing(answer):
            try:
                yield from map(_change, _lines(answer))
            except urllib3.exceptions.ReadTimeoutError:
                log.debug("the watch of %s is silent, and begun anew", kind.plural)
            except urllib3.exceptions.HTTPError as error:
                raise ApiError(0, f"the watch broke off: {error}") from error

    def log(self, pod: str, most_bytes: int) -> str:
        """Get what the container of a pod said last."""
        query = {"limitBytes": str(most_bytes), "tailLines": "2000"}
        path = f"{self._path(PODS)}/{pod}/log"
        return self._call("get", "pods/log", path, query).data.decode("utf-8", "replace")

    def _path(self, kind: Kind) -> str:
        inner = f"namespaces/{self._namespace}/" if kind.namespaced else ""
        return f"/{kind.api}/{inner}{kind.plural}"

    def _call(
        self,
        verb: str,
        plural: str,
        path: str,
        query: Mapping[str, str] | None = None,
        method: str = "GET",
        body: Manifest | None = None,
        timeout: tuple[float, float] = _CALL_SECONDS,
    ) -> urllib3.HTTPResponse:
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        call = self._client.param_serialize(
            method, path, query_params=list((query or {}).items()), header_params=headers,
            body=body, auth_settings=["BearerToken"],
        )  # fmt: skip
        try:
            answer: urllib3.HTTPResponse
            answer = self._client.call_api(*call, _request_timeout=timeout).response
            if verb != "watch" or answer.status >= 400:
                answer.read(cache_content=True)  # here, where a connection that breaks off is heard
        except (client.ApiException, urllib3.exceptions.HTTPError) as error:
            self._called(verb, plural, 0)
            raise ApiError(0, f"the API server cannot be reached: {error}") from error
        self._called(verb, plural, answer.status)
        if answer.status >= 400:
            raise ApiError(answer.status, _words(answer.data))
        return answer


def _configuration() -> client.Configuration:
    """Find the cluster; a call that broke off is not repeated by itself: we know better what to repeat."""
    found = client.Configuration()
    try:
        config.load_incluster_config(client_configuration=found)  # type: ignore[no-untyped-call]
    except config.ConfigException:
        _load_file(found)
    found.retries = False
    return found


def _load_file(found: client.Configuration) -> None:
    try:
        config.load_kube_config(client_configuration=found)  # type: ignore[no-untyped-call]
    except config.ConfigException as error:
        raise ConnectionError(
            f"no cluster is known ({error}); run in one, or name a file by KUBECONFIG"
        ) from error


def _content(answer: urllib3.HTTPResponse) -> Any:
    return json.loads(answer.data)


def _lines(answer: urllib3.HTTPResponse) -> Iterator[bytes]:
    """Part a stream into lines, each as soon as it has come."""
    rest = b""
    for part in answer.stream(amt=None, decode_content=False):
        *whole, rest = (rest + part).split(b"\n")
        yield from filter(None, whole)


def _change(line: bytes) -> tuple[str, Object]:
    told = json.loads(line)
    if told["type"] == "ERROR":
        raise ExpiredError(told["object"].get("message", ""))
    return told["type"], told["object"]


def _words(body: bytes) -> str:
    """Get the message of a Status, or what there is instead."""
    try:
        return str(json.loads(body)["message"])
    except (ValueError, LookupError, TypeError):
        return body.decode("utf-8", "replace")[:300]


def _leading_number(text: str) -> int:
    """Read a part of a version: some providers write ``27+``."""
    digits = "".join(letter for letter in text if letter.isdecimal())
    return int(digits or 0)
