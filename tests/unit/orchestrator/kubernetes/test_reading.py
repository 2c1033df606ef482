# SPDX-License-Identifier: BSD-3-Clause
"""What the cluster says about an instance, in words: a table of what is seen, each as real clusters write it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from dl4mic_orchestrator.backends.base import Probe
from dl4mic_orchestrator.backends.kubernetes.manifests import ASKS
from dl4mic_orchestrator.backends.kubernetes.nodes import capacity_of, quantity
from dl4mic_orchestrator.backends.kubernetes.reading import Sight, probe_of, queue_positions
from dl4mic_orchestrator.records import GpuNeed

from .instances import GIB, settings

NOW = datetime.fromisoformat("2026-11-01T12:10:00Z")
JOB = {"metadata": {"name": "j"}, "spec": {}}
WELL = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}


def silent(since: str) -> dict:
    ready = {"type": "Ready", "status": "Unknown", "lastTransitionTime": since}
    return {"status": {"conditions": [ready]}}


def pod(node: str = "gpu-1", uid: str = "u1", **status: Any) -> dict:
    metadata = {"name": f"j-{uid}", "uid": uid, "annotations": {ASKS: "a GPU with 12 GiB"}}
    limits = {"limits": {"memory": "8Gi"}}
    spec: dict = {"containers": [{"image": "dl4mic-segmenter:1", "resources": limits}]}
    if node:
        spec["nodeName"] = node
    return {"metadata": metadata, "spec": spec, "status": {"phase": "Running", **status}}


def container(**state: Any) -> dict:
    return {"containerStatuses": [{"name": "service", "state": state}]}


def ended(status: int, reason: str = "Error", message: str = "") -> dict:
    state = {"exitCode": status, "reason": reason, "message": message}
    return {"phase": "Failed" if status else "Succeeded", **container(terminated=state)}


def held_up(reason: str, message: str = "") -> dict:
    return {"phase": "Pending", **container(waiting={"reason": reason, "message": message})}


def unscheduled(message: str, reason: str = "Unschedulable") -> dict:
    condition = {"type": "PodScheduled", "status": "False", "reason": reason, "message": message}
    return pod("", phase="Pending", conditions=[condition])


def disrupted(reason: str, message: str = "") -> dict:
    condition = {"type": "DisruptionTarget", "status": "True", "reason": reason, "message": message}
    return pod(phase="Failed", conditions=[condition])


def event(reason: str, message: str, minutes: int = 0) -> dict:
    times = {"firstTimestamp": "2026-11-01T12:00:00Z"}
    last = f"2026-11-01T12:{minutes:02}:00Z"
    return {"reason": reason, "message": message, **times, "lastTimestamp": last}


def look(*pods: dict, owner: dict | None = JOB, node: dict | None = WELL, **more: Any) -> Probe:
    return probe_of(Sight(NOW, owner, pods, node=lambda _: node, **more))


RUNNING = pod(podIP="10.1.2.3", **container(running={}))


def test_a_running_pod_can_be_dialled() -> None:
    probe = look(RUNNING)
    assert probe == Probe(True, "10.1.2.3:50051", "gpu-1", found={"pod": "u1"})


def test_an_address_of_the_new_protocol_is_put_in_brackets() -> None:
    assert look(pod(podIP="fd00::1", **container(running={}))).address == "[fd00::1]:50051"


def test_a_pod_that_ended_well_is_no_fault() -> None:
    assert look(pod(**ended(0))) == Probe(False, "", "gpu-1", ended=True, found={"pod": "u1"})


def test_a_pod_that_is_asked_to_end_may_still_write_its_checkpoint() -> None:
    leaving = pod(podIP="10.1.2.3", **container(running={}))
    leaving["metadata"]["deletionTimestamp"] = "2026-11-01T12:09:59Z"
    probe = look(leaving)
    assert probe.alive and probe.address == "10.1.2.3:50051"
    assert probe.fault is not None and probe.fault.code == "PREEMPTED"


@pytest.mark.parametrize("status", [0, 143])
def test_a_pod_that_ended_because_it_was_asked_to_was_not_at_fault(status: int) -> None:
    left = pod(**ended(status))
    left["metadata"]["deletionTimestamp"] = "2026-11-01T12:09:59Z"
    probe = look(left)
    assert probe.fault is not None
    assert (probe.alive, probe.fault.code) == (False, "PREEMPTED")


# What waits, and the words for it.
WAITING = [
    (
        unscheduled("0/3 nodes are available: 3 Insufficient nvidia.com/gpu."),
        "no node has a GPU with 12 GiB free; 3 jobs ahead",
    ),
    (
        unscheduled(
            "0/3 nodes are available: 1 Insufficient nvidia.com/gpu, 2 Insufficient memory. "
            "preemption: 0/3 nodes are available: 3 No preemption victims found."
        ),
        "no node has a GPU with 12 GiB and memory free; 3 jobs ahead",
    ),
    (
        unscheduled("0/2 nodes are available: 2 Insufficient cpu."),
        "no node has enough cores free; 3 jobs ahead",
    ),
    (
        unscheduled("0/2 nodes are available: 2 node(s) didn't match Pod's node affinity."),
        "no node has a GPU with 12 GiB that it may use; 3 jobs ahead",
    ),
    (
        unscheduled(
            "0/2 nodes are available: 2 node(s) had taint {gpu: }, that the pod didn't ..."
        ),
        "no node can take it: 2 node(s) had taint {gpu: }, that the pod didn't ...; 3 jobs ahead",
    ),
    (
        unscheduled('persistentvolumeclaim "workspace" not found'),
        "no node can take it: the claim workspace is not there; 3 jobs ahead",
    ),
    (
        unscheduled("0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims."),
        "no node can take it: a claim has no volume yet; 3 jobs ahead",
    ),
    (unscheduled("", "SchedulingGated"), "waits in the cluster's queue; 3 jobs ahead"),
    (pod("", phase="Pending"), "waits for the cluster's scheduler"),
    (
        pod(**held_up("ContainerCreating")),
        "starts on gpu-1: the image is fetched and the volumes are mounted",
    ),
]


@pytest.mark.parametrize(("seen", "words"), WAITING)
def test_a_pod_that_waits_says_for_what(seen: dict, words: str) -> None:
    probe = look(seen, ahead=3)
    assert (probe.alive, probe.waiting, probe.address, probe.fault) == (True, words, "", None)


def test_a_job_without_a_pod_waits_for_the_cluster_or_its_queue() -> None:
    assert look().waiting == "waits for the cluster"
    suspended = {"metadata": {"name": "j"}, "spec": {"suspend": True}}
    assert look(owner=suspended).waiting == "waits in the cluster's queue"


def test_a_quota_that_is_used_up_is_waited_for() -> None:
    words = (
        'Error creating: pods "j-x" is forbidden: exceeded quota: gpus, requested: '
        "requests.nvidia.com/gpu=1, used: requests.nvidia.com/gpu=2, limited: requests.nvidia.com/gpu=2"
    )
    probe = look(events=[event("FailedCreate", words, minutes=9)])
    assert probe.alive
    assert probe.waiting.startswith("the quota of the namespace is used up: gpus, requested")


def test_a_pod_that_the_cluster_keeps_refusing_is_a_fault() -> None:
    words = 'pods "j-x" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot'
    assert look(events=[event("FailedCreate", words)]).waiting.startswith("the cluster refuses")
    fault = look(events=[event("FailedCreate", words, minutes=2)]).fault
    assert fault is not None and fault.code == "ENVIRONMENT_UNAVAILABLE"
    assert "violates PodSecurity" in fault.message


# What is wrong: code, and words that the message holds.
FAULTS = [
    (pod(**held_up("ErrImagePull", "not found")), "IMAGE_UNAVAILABLE", "image dl4mic-segmenter:1"),
    (pod(**held_up("ImagePullBackOff")), "IMAGE_UNAVAILABLE", "(ImagePullBackOff)"),
    (pod(**held_up("ErrImageNeverPull")), "IMAGE_UNAVAILABLE", "cannot be had"),
    (
        pod(**held_up("CreateContainerConfigError", "failed to prepare subPath for volumeMount")),
        "VOLUME_UNAVAILABLE",
        "subPath",
    ),
    (
        pod(**held_up("CreateContainerError", "no command specified")),
        "ENVIRONMENT_UNAVAILABLE",
        "no command",
    ),
    (pod(**ended(137, "OOMKilled")), "OUT_OF_MEMORY", "its limit of 8Gi"),
    (pod(**ended(137)), "CRASHED", "signal 9"),
    (pod(**ended(1)), "CRASHED", "status 1"),
    (pod(**ended(128, "StartError", "exec: python")), "ENVIRONMENT_UNAVAILABLE", "exec: python"),
    (
        pod(phase="Failed", reason="Evicted", message="The node was low on resource: memory. "),
        "PREEMPTED",
        "evicted: The node was low on resource: memory.",
    ),
    (
        pod(
            phase="Failed",
            reason="Evicted",
            message='Usage of EmptyDir volume "tmp" exceeds the limit "1Gi". ',
        ),
        "DISK_FULL",
        "EmptyDir",
    ),
    (
        pod(
            phase="Failed",
            reason="Evicted",
            message="Pod ephemeral local storage usage exceeds the total limit of containers 1Gi. ",
        ),
        "DISK_FULL",
        "wrote more than it may",
    ),
    (disrupted("PreemptionByScheduler", "by team/other"), "PREEMPTED", "of higher priority"),
    (disrupted("EvictionByEvictionAPI"), "PREEMPTED", "being cleared"),
    (disrupted("DeletionByTaintManager"), "NODE_LOST", "gpu-1"),
    (pod(phase="Failed", reason="NodeShutdown", message="Pod was ..."), "NODE_LOST", "gpu-1"),
    (pod(phase="Failed", reason="NodeLost"), "NODE_LOST", "was lost"),
    (
        pod(
            phase="Failed",
            reason="UnexpectedAdmissionError",
            message="Allocate failed due to no healthy devices present for nvidia.com/gpu",
        ),
        "GPU_UNUSABLE",
        "no healthy devices",
    ),
    (
        pod(phase="Failed", reason="OutOfcpu", message="Node didn't have enough resource: cpu"),
        "ENVIRONMENT_UNAVAILABLE",
        "refused the pod: OutOfcpu",
    ),
]


@pytest.mark.parametrize(("seen", "code", "words"), FAULTS)
def test_a_pod_that_is_lost_says_why(seen: dict, code: str, words: str) -> None:
    probe = look(seen)
    assert probe.fault is not None
    assert (probe.alive, probe.fault.code) == (False, code)
    assert words in probe.fault.message and probe.fault.hint


def test_a_memory_kill_says_more_than_the_condition_beside_it() -> None:
    seen = pod(**ended(137, "OOMKilled"))
    seen["status"]["conditions"] = [{"type": "DisruptionTarget", "status": "False"}]
    fault = look(seen).fault
    assert fault is not None and fault.code == "OUT_OF_MEMORY"


@pytest.mark.parametrize(
    ("node", "lost"),
    [
        (WELL, False),
        (silent("2026-11-01T12:09:30Z"), False),
        (silent("2026-11-01T12:09:00Z"), True),
        (None, True),
        ({}, False),
    ],
)
def test_a_node_is_lost_when_it_is_gone_or_silent_for_long(node: dict | None, lost: bool) -> None:
    probe = look(RUNNING, node=node)
    assert probe.alive is not lost
    assert (probe.fault.code if probe.fault else "") == ("NODE_LOST" if lost else "")


def test_a_volume_that_cannot_be_mounted_is_said_at_once_and_given_up_later() -> None:
    seen = pod(**held_up("ContainerCreating"))
    words = 'MountVolume.SetUp failed for volume "pv": mount.nfs: Connection refused'
    soon = look(seen, events=[event("FailedMount", words)])
    assert soon.waiting == f"a volume cannot be mounted yet: {words}"
    late = look(seen, events=[event("FailedMount", words, minutes=2)])
    assert late.fault is not None and late.fault.code == "VOLUME_UNAVAILABLE"
    assert look(RUNNING, events=[event("FailedMount", words, minutes=2)]).alive


def test_a_pod_that_vanished_was_ended_from_outside() -> None:
    probe = look(RUNNING, gone=frozenset({"u1"}))
    assert probe.fault is not None and probe.fault.code == "PREEMPTED"


def test_what_took_its_place_is_not_the_instance() -> None:
    successor = pod(uid="u2", podIP="10.9.9.9", **container(running={}))
    assert not look(RUNNING, successor, gone=frozenset({"u1"})).alive
    gone = look(successor, pod_uid="u1")
    assert gone.fault is not None and gone.fault.code == "PREEMPTED"


def test_a_job_that_was_deleted_was_ended_from_outside() -> None:
    probe = look(owner=None)
    assert probe.fault is not None and probe.fault.code == "PREEMPTED"


def test_pods_that_wait_for_the_same_are_counted_by_priority_and_age() -> None:
    def waiting(uid: str, second: int, priority: int = 0, asks: str = "a GPU") -> dict:
        made = f"2026-11-01T12:00:{second:02}Z"
        metadata = {"name": uid, "uid": uid, "creationTimestamp": made, "annotations": {ASKS: asks}}
        return {"metadata": metadata, "spec": {"priority": priority}, "status": {}}

    pods = [
        waiting("late", 9), waiting("early", 1), waiting("urgent", 5, priority=10),
        waiting("other", 8, asks=""), {**waiting("bound", 0), "spec": {"nodeName": "n"}},
    ]  # fmt: skip
    assert queue_positions(pods) == {"urgent": 0, "early": 1, "late": 2, "other": 0}


@pytest.mark.parametrize(
    ("text", "number"),
    [("500m", 0.5), ("4", 4), ("16Gi", 16 * GIB), ("1e3", 1000), ("128974848", 128974848), ("", 0)],
)
def test_quantities(text: str, number: float) -> None:
    assert quantity(text) == number


def test_capacity_is_what_the_nodes_say() -> None:
    labels = {
        "nvidia.com/gpu.product": "A40",
        "nvidia.com/gpu.memory": "46068",
        "nvidia.com/gpu.compute.major": "8",
        "nvidia.com/gpu.compute.minor": "6",
    }
    known = {"cpu": "63500m", "memory": "500Gi", "nvidia.com/gpu": "2"}
    nodes = [
        {"metadata": {"name": "a", "labels": labels}, "status": {"allocatable": known}},
        {"metadata": {"name": "b"}, "status": {"allocatable": {"cpu": "8", "memory": "32Gi"}}},
    ]
    capacity = capacity_of(nodes, settings())
    assert (capacity.cpus, capacity.memory_bytes) == (71.5, 532 * GIB)
    assert [gpu.name for gpu in capacity.gpus] == ["A40", "A40"]
    assert GpuNeed(40 * GIB, (8, 0)).met_by(capacity.gpus[0])
    assert not GpuNeed(48 * GIB).met_by(capacity.gpus[0])


def test_a_gpu_of_which_the_cluster_tells_nothing_may_do() -> None:
    bare = {"metadata": {"name": "a"}, "status": {"allocatable": {"nvidia.com/gpu": "1"}}}
    (gpu,) = capacity_of([bare], settings()).gpus
    assert GpuNeed(40 * GIB, (8, 0), (9, 0)).met_by(gpu)


def gpu_node(pool: str = "imaging", **taint: str) -> dict:
    return {
        "metadata": {"name": "a", "labels": {"pool": pool}},
        "spec": {"unschedulable": True, "taints": [taint]} if taint else {},
        "status": {"allocatable": {"cpu": "8", "memory": "32Gi", "nvidia.com/gpu": "4"}},
    }


OURS = {"key": "lab", "value": "ours", "effect": "NoSchedule"}


@pytest.mark.parametrize(
    ("node", "toleration", "counts"),
    [
        (gpu_node(), {}, True),
        (gpu_node(pool="other"), {}, False),
        (gpu_node(**OURS), {"key": "rest", "operator": "Exists"}, False),
        (gpu_node(**OURS), {"key": "lab", "value": "theirs"}, False),
        (gpu_node(**OURS), {"key": "lab", "operator": "Exists", "effect": "NoExecute"}, False),
        (gpu_node(**OURS), {"key": "lab", "value": "ours"}, True),
        (gpu_node(**OURS), {"key": "lab", "operator": "Exists", "effect": "NoSchedule"}, True),
        (gpu_node(**OURS), {"operator": "Exists"}, True),
        (gpu_node(key="lab", effect="PreferNoSchedule"), {}, True),
        (gpu_node(key="node.kubernetes.io/unschedulable", effect="NoSchedule"), {}, True),
        (gpu_node(key="nvidia.com/gpu", effect="NoSchedule"), {}, True),
    ],
)
def test_what_no_instance_may_ever_have_is_not_counted(
    node: dict, toleration: dict, counts: bool
) -> None:
    tolerations = [toleration] if toleration else []
    found = capacity_of(
        [node], settings(node_selector={"pool": "imaging"}, tolerations=tolerations)
    )
    assert (len(found.gpus), found.cpus) == ((4, 8) if counts else (0, 0))
