# SPDX-License-Identifier: BSD-3-Clause
"""Keep what the cluster has of one kind of object, from lists and watches; and keep it fresh in a thread."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

Object = Mapping[str, Any]

_MOST_GONE = 200
"""Objects that are gone and remembered, each some 25 KiB; whoever asks about one asks within seconds."""

_RELIST_SECONDS = 600.0
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 15.0

log = logging.getLogger(__name__)


class ExpiredError(Exception):
    """The server no longer knows the version that a watch asked for."""


class RefusedError(Exception):
    """We may not read this kind of object."""


class Cache:
    """Objects of one kind, by name. Pure but for its lock.

    Parameters
    ----------
    key_of
        Gives what objects are looked for by, besides their names.

    Attributes
    ----------
    revision
        Another one after each change.
    """

    def __init__(self, key_of: Callable[[Object], str] = lambda _: "") -> None:
        self._key_of = key_of
        self._lock = threading.Lock()
        self._objects: dict[str, Object] = {}
        self._gone: OrderedDict[str, Object] = OrderedDict()
        self._of_key: defaultdict[str, dict[str, Object]] = defaultdict(dict)
        self._put_during_list: set[str] = set()
        self.revision = 0

    def begin_list(self) -> None:
        """Note that a list is asked for: what is put from now on may be missing in it, and is there all the same."""
        with self._lock:
            self._put_during_list = set()

    def replace(self, objects: Sequence[Object]) -> None:
        """Take a list: what is not in it is gone."""
        with self._lock:
            listed = {each["metadata"]["name"]: each for each in objects}
            for name in [each for each in self._objects if each not in listed]:
                if name not in self._put_during_list:
                    self._drop(self._objects[name])
            for each in objects:
                self._keep(each)

    def apply(self, kind: str, changed: Object) -> None:
        """Take a change that a watch tells: ADDED, MODIFIED or DELETED."""
        with self._lock:
            uid = _uid(changed)
            known = self._objects.get(changed["metadata"]["name"])
            if kind == "DELETED":
                # One of the same name that was put meanwhile is another one.
                if known is None or _uid(known) == uid:
                    self._keep(changed)
                    self._drop(changed)
            elif kind == "ADDED" or uid not in self._gone:
                self._keep(changed)

    def put(self, made: Object) -> None:
        """Take what was just made, before any watch tells of it."""
        with self._lock:
            self._put_during_list.add(made["metadata"]["name"])
            known = self._objects.get(made["metadata"]["name"])
            if _uid(made) not in self._gone and (known is None or _uid(known) != _uid(made)):
                self._keep(made)

    def get(self, name: str) -> Object | None:
        """Get an object that is there."""
        with self._lock:
            return self._objects.get(name)

    def all(self) -> list[Object]:
        """Get all that are there."""
        with self._lock:
            return list(self._objects.values())

    def of(self, key: str) -> list[tuple[Object, bool]]:
        """Get what has a key, each with whether it is there still; those that are gone are as they were last."""
        with self._lock:
            return [
                (each, uid not in self._gone) for uid, each in self._of_key.get(key, {}).items()
            ]

    def _keep(self, told: Object) -> None:
        each = _without_history(told)
        name = each["metadata"]["name"]
        known = self._objects.get(name)
        if known is not None and _uid(known) != _uid(each):
            self._drop(known)
        self._gone.pop(_uid(each), None)
        self._objects[name] = each
        self._of_key[self._key_of(each)][_uid(each)] = each
        self.revision += 1

    def _drop(self, lost: Object) -> None:
        """Move an object to those that are gone, of which the oldest is forgotten."""
        self._objects.pop(lost["metadata"]["name"], None)
        self._gone[_uid(lost)] = lost
        self.revision += 1
        if len(self._gone) > _MOST_GONE:
            uid, forgotten = self._gone.popitem(last=False)
            key = self._key_of(forgotten)
            self._of_key[key].pop(uid, None)
            if not self._of_key[key]:
                del self._of_key[key]


def _without_history(each: Object) -> Object:
    """Leave out who set which field: nobody asks for it, and it is half of an object."""
    metadata = {name: value for name, value in each["metadata"].items() if name != "managedFields"}
    return {**each, "metadata": metadata}


def _uid(each: Object) -> str:
    return str(each["metadata"].get("uid", ""))


class Source(Protocol):
    """Where objects of one kind come from."""

    def list(self) -> tuple[Sequence[Object], str]:
        """List all; return them and the version of the list.

        Raises
        ------
        RefusedError
            We may not.
        OSError
            The server cannot be reached, or broke off.
        """

    def watch(self, version: str) -> Iterator[tuple[str, Object]]:
        """Tell what changes after a version, until the server ends it: kind of change (or BOOKMARK) and object.

        Raises
        ------
        ExpiredError
            It must be listed anew.
        """


class Mirror:
    """Keeps a cache fresh.

    Parameters
    ----------
    changed
        Called after each change.
    key_of
        Gives what objects are looked for by, besides their names.
    """

    def __init__(
        self,
        kind: str,
        source: Source,
        changed: Callable[[], None],
        key_of: Callable[[Object], str] = lambda _: "",
    ) -> None:
        self.cache = Cache(key_of)
        self.refused = False
        self._kind = kind
        self._source = source
        self._changed = changed
        self._synced = threading.Event()
        self._version = ""
        self._listed = 0.0

    def start(self) -> None:
        """Begin to follow the cluster, in a thread of its own."""
        name = f"mirror-{self._kind}"
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def await_synced(self, timeout_seconds: float) -> bool:
        """Wait until all is known, or known to be forbidden; False when that takes too long."""
        return self._synced.wait(timeout_seconds)

    def _run(self) -> None:
        pause = _FIRST_PAUSE_SECONDS
        while not self.refused:
            began = time.monotonic()
            try:
                self.follow()
            except ExpiredError:
                self._version = ""
            except (OSError, RefusedError) as error:
                log.warning("the cluster does not tell of %s: %s", self._kind, error)
            except Exception:
                log.exception("what the cluster tells of %s is not understood", self._kind)
                self._version = ""
            if time.monotonic() - began > _LONGEST_PAUSE_SECONDS:
                pause = _FIRST_PAUSE_SECONDS
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    def follow(self) -> None:
        """List, if need be, and follow one watch to its end."""
        if not self._version or time.monotonic() - self._listed > _RELIST_SECONDS:
            self._list()
        if self.refused:
            return
        for kind, changed in self._source.watch(self._version):
            self._version = changed["metadata"]["resourceVersion"]
            if kind != "BOOKMARK":
                self.cache.apply(kind, changed)
                self._changed()

    def _list(self) -> None:
        self.cache.begin_list()
        try:
            objects, self._version = self._source.list()
        except RefusedError as error:
            if self._synced.is_set():
                # We were let before: a server that has just started may know nobody's rights yet.
                raise
            log.error("%s of the cluster stay unknown: %s", self._kind, error)
            self.refused = True
        else:
            self.cache.replace(objects)
            self._listed = time.monotonic()
        self._synced.set()
        self._changed()
