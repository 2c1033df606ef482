# SPDX-License-Identifier: BSD-3-Clause
"""Who may talk to whom, decided by a small evaluator of network policies, since no test cluster enforces them.

Source: the reference of NetworkPolicySpec (networking.k8s.io/v1). Policies that choose a pod add up; a pod that none
chooses for a direction is open in it; a connection needs the leave of both ends.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from typing import Any

import pytest
import yaml
from charts import FULL, HELM, OPEN, Manifest, manifests, of_kind, pods

pytestmark = pytest.mark.skipif(not HELM.exists(), reason="Helm is not installed here")

HERE = "microscopy"
OTHER_NAMESPACES = {"elsewhere": {}, "lab": {"team": "imaging"}, "watch": {"team": "monitoring"}}


@dataclass(frozen=True)
class End:
    """One end of a connection: a pod by namespace and labels, or an address outside the cluster."""

    labels: dict[str, str] = field(default_factory=dict)
    namespace: str = HERE
    address: str = ""


def chooses(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    assert set(selector) <= {"matchLabels"}, "the evaluator does not know expressions"
    return selector.get("matchLabels", {}).items() <= labels.items()


def is_peer(peer: dict[str, Any], end: End) -> bool:
    if "ipBlock" in peer:
        return bool(end.address) and ipaddress.ip_address(end.address) in ipaddress.ip_network(
            peer["ipBlock"]["cidr"]
        )
    if end.address:
        return False
    if "namespaceSelector" in peer:
        there = chooses(peer["namespaceSelector"], OTHER_NAMESPACES.get(end.namespace, {}))
    else:
        there = end.namespace == HERE
    return there and chooses(peer.get("podSelector", {}), end.labels)


def allows(rule: dict[str, Any], side: str, end: End, protocol: str, port: int) -> bool:
    ports = [(each.get("protocol", "TCP"), each["port"]) for each in rule.get("ports", [])]
    peers = rule.get(side, [])
    return (not ports or (protocol, port) in ports) and (
        not peers or any(is_peer(peer, end) for peer in peers)
    )


def leave(
    policies: list[Manifest], direction: str, pod: End, end: End, at: tuple[str, int]
) -> bool:
    """Say whether the policies let a pod of this namespace have a connection in a direction."""
    side = {"Ingress": "from", "Egress": "to"}[direction]
    choosing = [
        each["spec"]
        for each in policies
        if direction in each["spec"]["policyTypes"]
        and chooses(each["spec"]["podSelector"], pod.labels)
    ]
    rules = [rule for spec in choosing for rule in spec.get(direction.lower()) or []]
    return not choosing or any(allows(rule, side, end, *at) for rule in rules)


def connects(
    policies: list[Manifest], source: End, target: End, port: int, protocol: str = "TCP"
) -> bool:
    at = (protocol, port)
    out = (
        source.namespace != HERE
        or bool(source.address)
        or leave(policies, "Egress", source, target, at)
    )
    into = (
        target.namespace != HERE
        or bool(target.address)
        or leave(policies, "Ingress", target, source, at)
    )
    return out and into


class World:
    """The ends that there are with a set of values."""

    def __init__(self, *values: str) -> None:
        found = manifests(*values)
        self.policies = [each for each in found if each["kind"] == "NetworkPolicy"]
        named = {
            each["metadata"]["labels"]["app.kubernetes.io/component"]: End(
                each["metadata"]["labels"]
            )
            for each in pods(found)
        }
        self.orchestrator = named["orchestrator"]
        self.test = named.get("test", End())
        settings = yaml.safe_load(of_kind(found, "ConfigMap")["data"]["kubernetes.yaml"])
        self.job = End(settings["labels"])
        self.stranger = End({"app": "stranger"})

    def may(self, source: End, target: End, port: int, protocol: str = "TCP") -> bool:
        return connects(self.policies, source, target, port, protocol)


@pytest.fixture(scope="module")
def plain() -> World:
    return World(*OPEN)


@pytest.fixture(scope="module")
def full() -> World:
    return World(*FULL)


ANYWHERE = End(address="93.184.216.34")
API_SERVER = End(address="10.0.8.3")
"""A node's, since most networks judge after the Service's address was put in its place."""
NODE = End(namespace="")
"""As networks see it that take a node for no address: it is no peer's."""


@pytest.mark.parametrize("port", [22, 53, 80, 443, 5432, 6443, 50051])
def test_a_job_has_no_way_out(plain: World, port: int) -> None:
    for target in (
        ANYWHERE,
        API_SERVER,
        NODE,
        plain.orchestrator,
        plain.stranger,
        plain.job,
        End({}, "lab"),
    ):
        for protocol in ("TCP", "UDP"):
            assert not plain.may(plain.job, target, port, protocol)


def test_the_orchestrator_alone_comes_into_a_job_and_by_one_port(full: World) -> None:
    assert full.may(full.orchestrator, full.job, 50051)
    assert not full.may(full.orchestrator, full.job, 22)
    for source in (full.stranger, full.test, full.job, End({}, "lab"), ANYWHERE):
        assert not full.may(source, full.job, 50051)


def test_the_orchestrator_reaches_names_and_the_api_server_and_nothing_else(plain: World) -> None:
    assert plain.may(plain.orchestrator, End({}, "elsewhere"), 53, "UDP")
    for server in (API_SERVER, NODE):
        assert plain.may(plain.orchestrator, server, 443)
        assert plain.may(plain.orchestrator, server, 6443)
    assert not plain.may(plain.orchestrator, ANYWHERE, 80)
    assert not plain.may(plain.orchestrator, ANYWHERE, 5432)
    assert not plain.may(plain.orchestrator, plain.stranger, 50051)


def test_an_api_server_whose_addresses_are_named_is_reached_and_nothing_beside_it(
    full: World,
) -> None:
    assert full.may(full.orchestrator, API_SERVER, 6443)
    for other in (ANYWHERE, NODE, full.stranger):
        assert not full.may(full.orchestrator, other, 6443)


def test_the_database_is_reached_where_there_is_one(full: World) -> None:
    database, in_the_cluster = End(address="10.0.0.7"), End({"app": "postgres"}, "databases")
    assert full.may(full.orchestrator, database, 5432)
    assert not full.may(full.orchestrator, in_the_cluster, 5432)
    anywhere = World(*OPEN, "store.postgresql.secret=database")
    for target in (database, in_the_cluster, NODE):
        assert anywhere.may(anywhere.orchestrator, target, 5432)


def test_everybody_calls_the_service_until_somebody_is_named(plain: World, full: World) -> None:
    for caller in (ANYWHERE, End({}, "elsewhere"), plain.stranger):
        assert plain.may(caller, plain.orchestrator, 50051)
        assert not full.may(caller, full.orchestrator, 50051)
    assert full.may(End({}, "lab"), full.orchestrator, 50051)
    assert full.may(full.test, full.orchestrator, 50051)


def test_metrics_are_for_those_who_scrape(full: World) -> None:
    assert full.may(End({}, "watch"), full.orchestrator, 9095)
    assert not full.may(End({}, "lab"), full.orchestrator, 9095)
    assert not full.may(full.test, full.orchestrator, 9095)


def test_a_pod_of_the_release_that_nothing_speaks_of_is_alone(plain: World) -> None:
    odd = End({**plain.job.labels, "app.kubernetes.io/component": "odd"})
    assert not plain.may(odd, ANYWHERE, 443)
    assert not plain.may(plain.stranger, odd, 50051)


def test_the_evaluator_knows_an_open_world() -> None:
    world = World(*OPEN, "networkPolicy.enabled=false")
    assert world.may(world.job, ANYWHERE, 443)
    assert world.may(world.stranger, world.job, 50051)
