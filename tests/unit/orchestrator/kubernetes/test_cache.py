# SPDX-License-Identifier: BSD-3-Clause
"""The copy of the cluster: what lists and watches tell, in whatever order, and what is kept of what is gone."""

from __future__ import annotations

import threading
from functools import partial

import pytest

from dl4mic_orchestrator.backends.kubernetes import cache
from dl4mic_orchestrator.backends.kubernetes.cache import Cache, Mirror
from dl4mic_orchestrator.backends.kubernetes.client import PODS

from .scripted_cluster import ScriptedCluster, eventually


def thing(name: str, uid: str, owner: str = "job") -> dict:
    return {"metadata": {"name": name, "uid": uid, "owner": owner, "resourceVersion": "1"}}


def keyed() -> Cache:
    return Cache(lambda each: each["metadata"]["owner"])


def seen(found: Cache, key: str = "job") -> dict[str, bool]:
    return {each["metadata"]["uid"]: is_there for each, is_there in found.of(key)}


def test_what_is_gone_is_remembered_as_it_was() -> None:
    found = keyed()
    found.apply("ADDED", thing("a", "1"))
    found.apply("DELETED", {**thing("a", "1"), "last": True})
    assert seen(found) == {"1": False}
    assert found.of("job")[0][0]["last"] is True
    assert found.all() == [] and found.get("a") is None


def test_a_list_ends_what_it_lacks() -> None:
    found = keyed()
    found.replace([thing("a", "1"), thing("b", "2")])
    found.begin_list()
    found.replace([thing("b", "2"), thing("c", "3")])
    assert seen(found) == {"1": False, "2": True, "3": True}


def test_a_list_that_was_under_way_does_not_end_what_was_just_made() -> None:
    found = keyed()
    found.begin_list()
    found.put(thing("a", "1"))
    found.replace([])
    assert seen(found) == {"1": True}
    found.begin_list()
    found.replace([])
    assert seen(found) == {"1": False}


def test_what_was_made_under_a_name_that_was_in_use_replaces_it() -> None:
    found = keyed()
    found.apply("ADDED", thing("a", "1"))
    found.put(thing("a", "2"))
    found.apply("MODIFIED", thing("a", "1"))
    found.apply("DELETED", thing("a", "1"))
    found.apply("ADDED", thing("a", "2"))
    assert seen(found) == {"1": False, "2": True}


def test_late_news_of_what_was_made_does_not_bring_it_back() -> None:
    found = keyed()
    found.apply("ADDED", thing("a", "1"))
    found.apply("DELETED", thing("a", "1"))
    found.put(thing("a", "1"))
    assert seen(found) == {"1": False}


def test_of_what_is_gone_only_the_newest_is_remembered(monkeypatch: object) -> None:
    found = keyed()
    for number in range(cache._MOST_GONE + 10):
        found.apply("ADDED", thing(f"a{number}", str(number), owner=str(number)))
        found.apply("DELETED", thing(f"a{number}", str(number), owner=str(number)))
    assert seen(found, "9") == {}
    assert seen(found, "10") == {"10": False}


def test_who_set_what_is_not_remembered() -> None:
    found = keyed()
    told = thing("a", "1")
    told["metadata"]["managedFields"] = [{"manager": "kubelet"}]
    found.apply("ADDED", told)
    assert found.get("a") == thing("a", "1")


class Source:
    """Pods of a scripted cluster."""

    def __init__(self, cluster: ScriptedCluster) -> None:
        self.list = partial(cluster.list, PODS, {})
        self.watch = partial(cluster.watch, PODS, {})


def pod(name: str) -> dict:
    return {"metadata": {"name": name}, "spec": {}}


def names(mirror: Mirror) -> set[str]:
    return {each["metadata"]["name"] for each in mirror.cache.all()}


def test_a_mirror_follows_through_broken_and_expired_watches() -> None:
    cluster = ScriptedCluster()
    cluster.set(PODS, pod("a"))
    mirror = Mirror("pods", Source(cluster), lambda: None)
    mirror.start()
    assert mirror.await_synced(20)
    cluster.set(PODS, pod("b"))
    eventually(lambda: names(mirror) == {"a", "b"})
    lists = cluster.calls["list pods"]
    cluster.break_watches()
    cluster.set(PODS, pod("c"))
    eventually(lambda: names(mirror) == {"a", "b", "c"})
    assert cluster.calls["list pods"] == lists, "a watch goes on where the last one broke off"
    cluster.remove(PODS, "a")
    cluster.set(PODS, pod("d"))
    cluster.break_watches(forget=True)
    eventually(lambda: names(mirror) == {"b", "c", "d"})


def test_a_mirror_waits_for_a_server_that_is_away() -> None:
    cluster = ScriptedCluster()
    cluster.down = True
    changed = threading.Event()
    mirror = Mirror("pods", Source(cluster), changed.set)
    mirror.start()
    eventually(lambda: cluster.calls["list pods"] > 0)
    assert not mirror.await_synced(0)
    cluster.down = False
    assert mirror.await_synced(20) and changed.is_set()


def test_a_mirror_that_may_not_look_says_so_and_asks_no_more() -> None:
    cluster = ScriptedCluster()
    cluster.forbidden = {PODS}
    mirror = Mirror("pods", Source(cluster), lambda: None)
    mirror.start()
    assert mirror.await_synced(20)
    assert mirror.refused and cluster.calls["list pods"] == 1


@pytest.mark.parametrize("forget", [True, False], ids=["expired", "old"])
def test_a_mirror_that_may_not_look_for_a_while_goes_on_afterwards(
    forget: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(cache, "_FIRST_PAUSE_SECONDS", 0.01)
    cluster = ScriptedCluster()
    cluster.set(PODS, pod("a"))
    mirror = Mirror("pods", Source(cluster), lambda: None)
    mirror.start()
    assert mirror.await_synced(20)
    cluster.forbidden = {PODS}
    if not forget:
        monkeypatch.setattr(cache, "_RELIST_SECONDS", 0.0)
    cluster.break_watches(forget=forget)
    eventually(lambda: cluster.calls["list pods"] > 2)
    assert not mirror.refused and names(mirror) == {"a"}
    assert "does not tell of pods: pods is forbidden" in caplog.text
    cluster.set(PODS, pod("b"))
    cluster.forbidden = set()
    eventually(lambda: names(mirror) == {"a", "b"})
