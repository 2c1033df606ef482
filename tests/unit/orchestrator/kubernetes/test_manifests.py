# SPDX-License-Identifier: BSD-3-Clause
"""Manifests against golden files, and against the schemas of every version of Kubernetes that there are."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import kubernetes_validate.utils
import pytest
import yaml

from dl4mic_orchestrator.backends.base import LaunchSpec
from dl4mic_orchestrator.backends.kubernetes.affinity import node_affinity
from dl4mic_orchestrator.backends.kubernetes.manifests import Launch, manifest_of, name_of
from dl4mic_orchestrator.backends.kubernetes.settings import GpuLabels
from dl4mic_orchestrator.records import GpuNeed

from .instances import GIB, VOLUMES, WORKSPACE, on_gpu, settings, training, warm

TOKEN = WORKSPACE / "tokens" / "instance"
GOLDENS = Path(__file__).parent / "goldens"
FULL = settings(
    runtime_class="nvidia",
    priority_classes={"0": "routine", "10": "urgent", "warm": "interactive"},
    tolerations=[{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
    node_selector={"facility": "imaging"},
    queue="microscopy",
    image_pull_secrets=["registry"],
    service_account="dl4mic-jobs",
)
PLAIN = settings()
CASES: dict[str, tuple[LaunchSpec, Any, tuple[int, int]]] = {
    "training": (training(), PLAIN, (1, 30)),
    "training-on-gpu": (on_gpu(priority=12), FULL, (1, 30)),
    "training-on-1.20": (on_gpu(), PLAIN, (1, 20)),
    "warm": (warm(), FULL, (1, 30)),
    "warm-on-1.20": (warm(), PLAIN, (1, 20)),
}


def written(case: str) -> dict:
    spec, how, version = CASES[case]
    return manifest_of(Launch(spec, "dl4mic-segmenter:1", TOKEN), how, VOLUMES, version)


def pod_of(spec: LaunchSpec, how: Any = PLAIN) -> dict:
    pod: dict = manifest_of(Launch(spec, "image:1", TOKEN), how, VOLUMES, (1, 30))["spec"][
        "template"
    ]["spec"]
    return pod


@pytest.mark.parametrize("case", CASES)
def test_a_manifest_is_as_its_golden_file(case: str) -> None:
    golden = GOLDENS / f"{case}.yaml"
    text = yaml.safe_dump(json.loads(json.dumps(written(case))), sort_keys=False)
    if os.environ.get("WRITE_GOLDENS"):
        golden.write_text(text, encoding="utf-8")
    assert yaml.safe_load(text) == yaml.safe_load(golden.read_text(encoding="utf-8"))


@pytest.mark.parametrize("version", kubernetes_validate.utils.all_versions())
def test_every_version_takes_the_manifests(version: str) -> None:
    number = tuple(int(part) for part in version.split(".")[:2])
    for spec, how, _ in CASES.values():
        manifest = manifest_of(Launch(spec, "image:1", TOKEN), how, VOLUMES, number)  # type: ignore[arg-type]
        kubernetes_validate.utils.validate(manifest, version, strict=True)


def test_a_pod_has_neither_rights_nor_a_way_to_get_any() -> None:
    pod = pod_of(on_gpu(), FULL)
    container = pod["containers"][0]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)


def test_a_pod_sees_its_own_parts_of_the_claims_alone() -> None:
    mounts = pod_of(training())["containers"][0]["volumeMounts"]
    seen = {each["mountPath"]: (each.get("subPath"), each.get("readOnly")) for each in mounts}
    assert seen == {
        "/workspace/jobs/train-1": ("jobs/train-1", False),
        "/data/plates/p7/high": ("lab1/p7/high", True),
        "/data/plates/p7/low": ("lab1/p7/low", True),
        "/workspace/tokens/instance": ("tokens/instance", True),
        "/tmp": (None, None),
        "/dev/shm": (None, None),
    }


def test_a_claim_is_one_volume_and_read_only_where_nothing_is_written() -> None:
    model = VOLUMES.mounts((Path("/workspace/jobs/a"),), (Path("/workspace/models/m/1"),))[0]
    assert [each["persistentVolumeClaim"] for each in model] == [{"claimName": "workspace"}]
    plates = VOLUMES.mounts((), (Path("/data/plates/p7"),))[0]
    assert plates[0]["persistentVolumeClaim"] == {"claimName": "plate-store", "readOnly": True}


def test_what_lies_in_another_mount_or_in_the_image_is_not_mounted_again() -> None:
    reads = (
        Path("/workspace/jobs/a/1"),
        Path("/data/plates/p7/low"),
        Path("/data/plates/p7"),
        Path("/app/services/segmenter/example"),
    )
    _, mounts = VOLUMES.mounts((Path("/workspace/jobs/a"),), reads)
    assert [each["mountPath"] for each in mounts] == ["/workspace/jobs/a", "/data/plates/p7"]


def test_a_path_that_is_on_no_claim_is_refused() -> None:
    with pytest.raises(ValueError, match="/elsewhere/images lies neither in the workspace nor"):
        pod_of(training(reads=(Path("/elsewhere/images"),)))


def test_a_pod_without_a_gpu_is_shown_none() -> None:
    assert {"name": "NVIDIA_VISIBLE_DEVICES", "value": "void"} in pod_of(training())["containers"][
        0
    ]["env"]
    names = {each["name"] for each in pod_of(on_gpu())["containers"][0]["env"]}
    assert not names & {"NVIDIA_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES"}


def test_the_administrator_may_say_what_a_service_gets() -> None:
    how = settings(
        gpu_resource="nvidia.com/mig-1g.10gb",
        resources={"segmenter": {"requests": {"cpu": 1}, "limits": {"memory": "20Gi"}}},
    )
    asked = pod_of(on_gpu(), how)["containers"][0]["resources"]
    assert (asked["requests"]["cpu"], asked["requests"]["memory"]) == ("1", "20Gi")
    assert asked["limits"] == {"memory": "20Gi", "nvidia.com/mig-1g.10gb": "1"}


@pytest.mark.parametrize("part", ["requests", "limits"])
def test_memory_that_is_said_once_holds_for_both(part: str) -> None:
    how = settings(resources={"segmenter": {part: {"memory": "24Gi"}}})
    asked = pod_of(training(), how)["containers"][0]["resources"]
    assert asked["requests"]["memory"] == asked["limits"]["memory"] == "24Gi"


@pytest.mark.parametrize(
    ("priority", "expected"), [(-5, None), (0, "routine"), (9, "routine"), (10, "urgent")]
)
def test_a_priority_class_is_the_highest_that_a_job_reaches(
    priority: int, expected: str | None
) -> None:
    assert pod_of(training(priority=priority), FULL).get("priorityClassName") == expected


def test_names_are_readable_short_and_never_the_same() -> None:
    assert name_of("train-1-1", {}).startswith("dl4mic-train-1-1-")
    long = [name_of("a" * 60 + end, {"of": "here"}) for end in "xy"]
    assert long[0] != long[1] and all(len(name) <= 53 for name in long)


def test_two_installations_never_give_the_same_name() -> None:
    here, there = {"of": "here", "part": "job"}, {"of": "there", "part": "job"}
    assert name_of("train-1-1", here) != name_of("train-1-1", there)
    assert name_of("train-1-1", here) == name_of("train-1-1", dict(reversed(here.items())))


# Nodes by what they say about their GPUs: (memory in MiB, capability), and whether 12 GiB and 7.0 to 9.0 fit.
NODES = [
    ((12288, "7.0"), True),
    ((12287, "7.0"), False),
    ((24576, "6.1"), False),
    ((24576, "8.6"), True),
    ((24576, "9.0"), True),
    ((24576, "9.1"), False),
    ((24576, "10.0"), False),
    ((None, "8.6"), True),
    ((24576, None), True),
    ((None, None), True),
]


@pytest.mark.parametrize(("node", "fits"), NODES)
def test_a_node_fits_when_its_labels_say_so_or_say_nothing(node: tuple, fits: bool) -> None:
    memory, capability = node
    labels = {} if memory is None else {"nvidia.com/gpu.memory": str(memory)}
    if capability is not None:
        major, minor = capability.split(".")
        labels |= {"nvidia.com/gpu.compute.major": major, "nvidia.com/gpu.compute.minor": minor}
    affinity = node_affinity(GpuNeed(12 * GIB, (7, 0), (9, 0)), GpuLabels())
    assert matches(affinity, labels) is fits


def test_any_gpu_will_do_where_nothing_is_asked_for() -> None:
    assert node_affinity(GpuNeed(), GpuLabels()) == {}
    assert node_affinity(GpuNeed(12 * GIB), GpuLabels(memory="")) == {}


def matches(affinity: dict, labels: dict[str, str]) -> bool:
    """Do as the scheduler does: one term must hold, with all of its expressions."""
    required = affinity["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    return any(
        all(_holds(each, labels) for each in term["matchExpressions"])
        for term in required["nodeSelectorTerms"]
    )


def _holds(expression: dict, labels: dict[str, str]) -> bool:
    key, operator = expression["key"], expression["operator"]
    if operator == "DoesNotExist":
        return key not in labels
    if key not in labels:
        return False
    value = expression["values"][0]
    number = int(labels[key])
    return {"Gt": number > int(value), "Lt": number < int(value), "In": labels[key] == value}[
        operator
    ]
