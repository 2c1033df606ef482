# SPDX-License-Identifier: BSD-3-Clause
"""Read from what the cluster says about an instance how it is, and put it into words. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from dl4mic_orchestrator.backends.base import Fault, Probe
from dl4mic_orchestrator.backends.kubernetes.manifests import ASKS, CONTAINER, PORT
from dl4mic_orchestrator.backends.kubernetes.nodes import is_lost, moment

Object = Mapping[str, Any]

_STUBBORN = timedelta(seconds=60)
"""Kubelets try again what failed; what still fails after this long will not come by itself."""


@dataclass(frozen=True)
class Sight:
    """All that the cluster says about one instance.

    Attributes
    ----------
    owner
        Its Job or Deployment; None when there is none.
    pods
        Of it, the oldest first; those that are gone are kept as they were last.
    gone
        Uids of the pods that are gone.
    events
        Warnings about it and its pods.
    node
        Gives a node by its name; None when it is gone, and {} when nothing is known of it.
    pod_uid
        The pod that it was; empty when none was found yet.
    ahead
        How many of our pods wait for the same and go first.
    """

    now: datetime
    owner: Object | None = None
    pods: Sequence[Object] = ()
    gone: frozenset[str] = frozenset()
    events: Sequence[Object] = ()
    node: Callable[[str], Object | None] = lambda _: {}
    pod_uid: str = ""
    ahead: int = 0


def probe_of(sight: Sight) -> Probe:
    """Say how an instance is."""
    pod = _pod(sight)
    if pod is None:
        return _without_pod(sight)
    fault = _fault(pod, sight)
    place = pod["spec"].get("nodeName", "")
    found = {"pod": pod["metadata"]["uid"]} if place else {}
    if has_ended(pod) or (fault is not None and not _is_leaving(pod, sight)):
        ended = fault is None and pod["status"].get("phase") == "Succeeded"
        return Probe(False, "", place, fault=fault, ended=ended, found=found)
    waiting = _waiting(pod, sight)
    address = "" if waiting else f"{_host(pod)}:{PORT}"
    return Probe(True, address, place, waiting=waiting, fault=fault, found=found)


def _pod(sight: Sight) -> Object | None:
    """Choose the pod that is the instance: the first; what a controller puts in its place knows nothing of the job."""
    chosen = [pod for pod in sight.pods if sight.pod_uid in ("", pod["metadata"]["uid"])]
    return chosen[0] if chosen else None


def _host(pod: Object) -> str:
    address = str(pod["status"].get("podIP", ""))
    return f"[{address}]" if ":" in address else address


def _without_pod(sight: Sight) -> Probe:
    if sight.owner is None or sight.pod_uid:
        return Probe(alive=False, address="", place="", fault=_ended_from_outside())
    for event in _newest(sight.events):
        if event.get("reason") == "FailedCreate":
            return _refused(event, sight.now)
    if sight.owner["spec"].get("suspend"):
        return _waits("waits in the cluster's queue")
    return _waits("waits for the cluster")


def _waits(words: str) -> Probe:
    return Probe(alive=True, address="", place="", waiting=words)


def _refused(event: Object, now: datetime) -> Probe:
    """Read why no pod may be made: a quota gives way again, a rule does not."""
    words = _cut(event.get("message", ""))
    if "exceeded quota" in words:
        return _waits(f"the quota of the namespace is used up: {_quota(words)}")
    if not _is_stubborn(event, now):
        return _waits(f"the cluster refuses the pod: {words}")
    hint = "The administrator of the cluster can mend this; the job goes on by itself."
    fault = Fault("ENVIRONMENT_UNAVAILABLE", f"the cluster refuses the pod: {words}", hint)
    return Probe(alive=False, address="", place="", fault=fault)


def _quota(words: str) -> str:
    return words[words.index("exceeded quota") + len("exceeded quota: ") :]


def _ended_from_outside() -> Fault:
    message = (
        "the pod was ended from outside: its node is being cleared, another pod took its place, "
        "or somebody deleted it"
    )
    return Fault("PREEMPTED", message, _RESUMES)


_RESUMES = "It goes on from its last checkpoint."


def _is_leaving(pod: Object, sight: Sight) -> bool:
    """Say whether the pod runs still, in the grace period that it has for a checkpoint."""
    return (
        "deletionTimestamp" in pod["metadata"]
        and pod["metadata"]["uid"] not in sight.gone
        and _node_fault(pod, sight) is None
    )


def has_ended(pod: Object) -> bool:
    """Say whether all that ran in a pod has ended, and nothing will run in it any more."""
    return pod["status"].get("phase") in ("Succeeded", "Failed")


def _fault(pod: Object, sight: Sight) -> Fault | None:
    """Say why the pod is gone or cannot come up, the surest sign first; None when nothing speaks for that."""
    return (
        _disrupted(pod)
        or _container_fault(pod)
        or _node_fault(pod, sight)
        or _taken_fault(pod, sight)
        or _exit_fault(pod)
        or _start_fault(pod)
        or _mount_fault(pod, sight)
    )


def _disrupted(pod: Object) -> Fault | None:
    """Read what took the pod away, from its status or its condition DisruptionTarget."""
    status = pod["status"]
    reason, words = status.get("reason", ""), _cut(status.get("message", ""))
    target = _condition(pod, "DisruptionTarget")
    if target is not None and target["status"] == "True" and reason != "Evicted":
        reason, words = target.get("reason", ""), _cut(target.get("message", ""))
    if reason == "Evicted":
        return _evicted(words)
    if reason in _OF_NODE:
        return Fault("NODE_LOST", f"the node {_node(pod)} was lost: {words or reason}", _RESUMES)
    if reason in _PREEMPTED:
        return Fault("PREEMPTED", f"{_PREEMPTED[reason]}{f': {words}' if words else ''}", _RESUMES)
    if status.get("phase") == "Failed" and reason.startswith(_REFUSALS):
        message = f"the node {_node(pod)} refused the pod: {reason}: {words}"
        code = "GPU_UNUSABLE" if "gpu" in f"{reason}{words}".lower() else "ENVIRONMENT_UNAVAILABLE"
        return Fault(code, message, "It is tried again on another node, if there is one.")
    return None


_OF_NODE = frozenset(
    {
        "NodeLost",
        "NodeShutdown",
        "Terminated",
        "Shutdown",
        "DeletionByTaintManager",
        "DeletionByPodGC",
    }
)
_PREEMPTED = {
    "PreemptionByScheduler": "a pod of higher priority took the place",
    "PreemptionByKubeScheduler": "a pod of higher priority took the place",
    "Preempting": "a pod of higher priority took the place",
    "EvictionByEvictionAPI": "the node is being cleared",
    "TerminationByKubelet": "the node ended the pod",
}
_REFUSALS = ("UnexpectedAdmissionError", "OutOf", "NodeAffinity", "Admission", "TopologyAffinity")


def _evicted(words: str) -> Fault:
    """Read an eviction: a limit of the pod's own is its own fault, a want of the node's is not."""
    own = re.search(r"exceed(s|ed) the (total |local )*(limit|.*limit of)", words)
    if own and "memory" not in words:
        hint = "Free some space, or have the limit raised; then retry the job."
        return Fault("DISK_FULL", f"the pod wrote more than it may: {words}", hint)
    return Fault("PREEMPTED", f"the pod was evicted: {words}", _RESUMES)


def _container_fault(pod: Object) -> Fault | None:
    ended = _container(pod).get("state", {}).get("terminated")
    if ended is None or ended.get("exitCode") == 0:
        return None
    reason, words = ended.get("reason", ""), _cut(ended.get("message", ""))
    if reason == "OOMKilled":
        return _out_of_memory(pod)
    if reason in ("StartError", "ContainerCannotRun"):
        hint = "The image may be built for another machine, or lack what it needs."
        return Fault("ENVIRONMENT_UNAVAILABLE", f"the container cannot start: {words}", hint)
    return None


def _exit_fault(pod: Object) -> Fault | None:
    status = _container(pod).get("state", {}).get("terminated", {}).get("exitCode", 0)
    return Fault("CRASHED", _exit_words(status), _RESUMES) if status else None


def _out_of_memory(pod: Object) -> Fault:
    limit = pod["spec"]["containers"][0].get("resources", {}).get("limits", {}).get("memory", "")
    message = f"the pod needed more memory than its limit{f' of {limit}' if limit else ''}"
    hint = "Use smaller patches, tiles or batches, or have the memory of the service raised."
    return Fault("OUT_OF_MEMORY", message, hint)


def _exit_words(status: int) -> str:
    if status > 128:
        return f"the service was ended by signal {status - 128}"
    return f"the service ended with status {status}"


def _node_fault(pod: Object, sight: Sight) -> Fault | None:
    name = pod["spec"].get("nodeName")
    if not name or not is_lost(sight.node(name), sight.now):
        return None
    return Fault("NODE_LOST", f"the node {name} does not answer any more", _RESUMES)


def _taken_fault(pod: Object, sight: Sight) -> Fault | None:
    """Say why a pod was asked to end, or is gone, that was well; old clusters do not tell who did it.

    We ask for the end of a pod only when nobody looks at it any more.
    """
    gone = pod["metadata"]["uid"] in sight.gone and pod["status"].get("phase") != "Failed"
    if not gone and "deletionTimestamp" not in pod["metadata"]:
        return None
    for event in _newest(sight.events):
        if event.get("reason") == "Evicted":
            return _evicted(_cut(event.get("message", "")))
    return _ended_from_outside()


def _start_fault(pod: Object) -> Fault | None:
    waits = _container(pod).get("state", {}).get("waiting", {})
    reason, words = waits.get("reason", ""), _cut(waits.get("message", ""))
    if reason in _OF_IMAGE:
        image = pod["spec"]["containers"][0]["image"]
        hint = "Have the image put where the cluster finds it; the job goes on by itself."
        message = f"the image {image} cannot be had ({reason}){f': {words}' if words else ''}"
        return Fault("IMAGE_UNAVAILABLE", message, hint)
    if reason in _OF_CONTAINER:
        volume = "volume" in words.lower() or "subpath" in words.lower()
        code = "VOLUME_UNAVAILABLE" if volume else "ENVIRONMENT_UNAVAILABLE"
        message = f"the container cannot be made: {words or reason}"
        return Fault(code, message, "The job goes on by itself when that is mended.")
    return None


_OF_IMAGE = frozenset(
    {
        "ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName",
        "ImageInspectError", "RegistryUnavailable",
    }
)  # fmt: skip
_OF_CONTAINER = frozenset(
    {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}
)


def _mount_fault(pod: Object, sight: Sight) -> Fault | None:
    event = _failed_mount(sight) if _is_coming_up(pod) else None
    if event is None or not _is_stubborn(event, sight.now):
        return None
    message = f"a volume cannot be mounted: {_cut(event.get('message', ''))}"
    return Fault("VOLUME_UNAVAILABLE", message, "The job goes on by itself when it can.")


def _failed_mount(sight: Sight) -> Object | None:
    kinds = ("FailedMount", "FailedAttachVolume")
    return next((each for each in _newest(sight.events) if each.get("reason") in kinds), None)


def _is_coming_up(pod: Object) -> bool:
    return bool(pod["spec"].get("nodeName")) and "running" not in _container(pod).get("state", {})


def _waiting(pod: Object, sight: Sight) -> str:
    """Say why nobody can dial the pod yet; empty when its container runs."""
    if not pod["spec"].get("nodeName"):
        return _unscheduled(pod, sight)
    if not _is_coming_up(pod) and _host(pod):
        return ""
    event = _failed_mount(sight)
    if event is not None:
        return f"a volume cannot be mounted yet: {_cut(event.get('message', ''))}"
    return f"starts on {_node(pod)}: the image is fetched and the volumes are mounted"


def _unscheduled(pod: Object, sight: Sight) -> str:
    condition = _condition(pod, "PodScheduled") or {}
    ahead = f"; {sight.ahead} job{'s' * (sight.ahead != 1)} ahead" if sight.ahead else ""
    if condition.get("reason") == "SchedulingGated":
        return f"waits in the cluster's queue{ahead}"
    if condition.get("reason") != "Unschedulable":
        return "waits for the cluster's scheduler"
    return f"{_why_unschedulable(condition.get('message', ''), pod)}{ahead}"


def _why_unschedulable(message: str, pod: Object) -> str:
    """Put the scheduler's words into ours: it says ``0/3 nodes are available: 2 Insufficient nvidia.com/gpu, ...``."""
    claim = re.search(r'persistentvolumeclaim "([^"]+)" not found', message)
    if claim:
        return f"no node can take it: the claim {claim[1]} is not there"
    if "unbound immediate PersistentVolumeClaims" in message:
        return "no node can take it: a claim has no volume yet"
    asks = pod["metadata"].get("annotations", {}).get(ASKS, "")
    lacking = set(_INSUFFICIENT.findall(message))
    words = [_RESOURCES[name] for name in sorted(lacking & set(_RESOURCES))]
    if lacking - set(_RESOURCES):
        return f"no node has {' and '.join([asks or 'a GPU', *words])} free"
    if words:
        return f"no node has enough {' and '.join(words)} free"
    if asks and re.search("node affinity|node selector", message):
        return f"no node has {asks} that it may use"
    _, _, reasons = message.partition("nodes are available: ")
    return f"no node can take it: {_cut(reasons or message)}"


_INSUFFICIENT = re.compile(r"Insufficient ([A-Za-z0-9./-]*[A-Za-z0-9])")
_RESOURCES = {"cpu": "cores", "memory": "memory", "ephemeral-storage": "disk", "pods": "places"}


def queue_positions(pods: Iterable[Object]) -> dict[str, int]:
    """Count for each pod that waits for a node, by its uid, those that go first: for the same, ranked before it."""
    waiting = [pod for pod in pods if not pod["spec"].get("nodeName") and not has_ended(pod)]
    positions: dict[str, int] = {}
    seen: Counter[str] = Counter()
    for pod in sorted(waiting, key=_rank):
        asks = pod["metadata"].get("annotations", {}).get(ASKS, "")
        positions[pod["metadata"]["uid"]] = seen[asks]
        seen[asks] += 1
    return positions


def _rank(pod: Object) -> tuple[int, str]:
    return -pod["spec"].get("priority", 0), pod["metadata"].get("creationTimestamp", "")


def _container(pod: Object) -> Object:
    statuses = pod["status"].get("containerStatuses", ())
    found: Object = next((each for each in statuses if each["name"] == CONTAINER), {})
    return found


def _condition(pod: Object, kind: str) -> Object | None:
    conditions = pod["status"].get("conditions", ())
    return next((each for each in conditions if each["type"] == kind), None)


def _node(pod: Object) -> str:
    return str(pod["spec"].get("nodeName", ""))


def _newest(events: Sequence[Object]) -> list[Object]:
    return sorted(events, key=_last_seen, reverse=True)


def _last_seen(event: Object) -> datetime:
    return moment(
        event.get("lastTimestamp") or event.get("eventTime") or event.get("firstTimestamp")
    )


def _is_stubborn(event: Object, now: datetime) -> bool:
    """Say whether something has failed again and again for long, and lately."""
    first = moment(event.get("firstTimestamp") or event.get("eventTime"))
    return _last_seen(event) - first > _STUBBORN


def _cut(words: str, most: int = 300) -> str:
    """Keep a message on one line and short."""
    line = " ".join(words.split())
    return line if len(line) <= most else f"{line[: most - 4]} ..."
