# SPDX-License-Identifier: BSD-3-Clause
"""What the chart renders: golden files, valid for every Kubernetes, as confined as the restricted profile asks."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import fields
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from charts import (
    CHART,
    FULL,
    GUARDED,
    HELM,
    NEWEST,
    OLDEST,
    OPEN,
    Manifest,
    manifests,
    of_kind,
    pods,
    template,
)

from dl4mic_orchestrator.__main__ import _parser
from dl4mic_orchestrator.backends.kubernetes.settings import (
    KubernetesSettings,
    Volume,
    settings_of,
)

pytestmark = pytest.mark.skipif(not HELM.exists(), reason="Helm is not installed here")

GOLDEN = Path(__file__).with_name("golden")
LEFT_OUT = ("services=null", "metrics.dashboards.enabled=false")
"""Of the golden files: what is made, and tested as such."""

CASES = {
    "open-oldest": (OPEN, OLDEST),
    "open-newest": (OPEN, NEWEST),
    "full": (FULL, NEWEST),
}
VERSIONS = [f"1.{minor}.0" for minor in range(25, int(NEWEST.split(".")[1]) + 1)]
CUSTOM = ("ServiceMonitor", "PrometheusRule")


@pytest.mark.parametrize("name", CASES)
def test_the_chart_renders_what_it_rendered(name: str) -> None:
    """Set GOLDEN=write to write them anew, and read what has changed."""
    values, version = CASES[name]
    path = GOLDEN / f"{name}.yaml"
    rendered = template(*values, *LEFT_OUT, version=version)
    if os.environ.get("GOLDEN") == "write":
        path.write_text(rendered)
    assert rendered == path.read_text()


@pytest.mark.parametrize("version", VERSIONS)
def test_every_version_of_kubernetes_takes_it(version: str) -> None:
    for values in (OPEN, FULL):
        for manifest in manifests(*values, version=version):
            if manifest["kind"] not in CUSTOM:
                kubernetes_validate.validate(manifest, version, strict=True)


def test_the_oldest_gets_nothing_that_it_does_not_know() -> None:
    for values in (OPEN, FULL):
        assert "grpc:" not in template(*values, version=OLDEST)
        assert "policy/v1" not in template(*values, version=OLDEST)


@pytest.mark.parametrize("values", [OPEN, FULL], ids=["open", "full"])
def test_pods_are_confined_as_the_restricted_profile_asks(values: tuple[str, ...]) -> None:
    for pod in pods(manifests(*values)):
        spec = pod["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] == 10001
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in spec["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
        kinds = {kind for volume in spec["volumes"] for kind in volume if kind != "name"}
        assert kinds <= {"persistentVolumeClaim", "configMap", "secret", "emptyDir"}


def test_only_the_orchestrator_has_a_token_of_the_cluster() -> None:
    for pod in pods(manifests(*FULL)):
        component = pod["metadata"]["labels"]["app.kubernetes.io/component"]
        assert pod["spec"]["automountServiceAccountToken"] is (component == "orchestrator")


def test_the_right_to_read_nodes_is_the_only_one_beyond_the_namespace() -> None:
    beyond = {each["kind"] for each in manifests(*FULL) if each["kind"].startswith("Cluster")}
    assert beyond == {"ClusterRole", "ClusterRoleBinding"}
    (role,) = [each for each in manifests(*FULL) if each["kind"] == "ClusterRole"]
    assert role["rules"] == [
        {"apiGroups": [""], "resources": ["nodes"], "verbs": ["list", "watch"]}
    ]
    without = manifests(*FULL, "rbac.nodes=false")
    assert not [each for each in without if each["kind"].startswith("Cluster")]


def test_no_rule_gives_everything_nor_any_secret() -> None:
    role = of_kind(manifests(*FULL), "Role")
    given = {word for rule in role["rules"] for key in rule for word in rule[key]}
    assert not given & {
        "*",
        "secrets",
        "configmaps",
        "pods/exec",
        "escalate",
        "bind",
        "impersonate",
    }


def arguments(*values: str) -> list[str]:
    (container,) = of_kind(manifests(*values), "Deployment")["spec"]["template"]["spec"][
        "containers"
    ]
    return list(container["args"])


def test_the_orchestrator_knows_each_flag() -> None:
    for values in (OPEN, FULL):
        _, unknown = _parser().parse_known_args(arguments(*values))
        assert unknown == []


def test_without_insecure_it_serves_with_certificate_and_tokens() -> None:
    given = arguments(*GUARDED)
    assert "--insecure" not in given
    assert "--tls-certificate=/etc/dl4mic-tls/tls.crt" in given
    assert "--tokens=/etc/dl4mic-tokens/tokens" in given
    assert "--insecure" in arguments(*OPEN)


def test_a_url_of_a_database_stands_in_a_secret_alone() -> None:
    def variable(*values: str) -> Manifest:
        spec = of_kind(manifests(*values), "Deployment")["spec"]["template"]["spec"]
        (found,) = spec["containers"][0]["env"]
        return dict(found)

    secret = {"secretKeyRef": {"name": "database", "key": "url"}}
    assert variable(*FULL) == {"name": "DL4MIC_STORE_URL", "valueFrom": secret}
    sqlite = {"name": "DL4MIC_STORE_URL", "value": "sqlite:////store/store.sqlite"}
    assert variable(*OPEN) == sqlite


def claims(*values: str) -> list[Manifest]:
    return [each for each in manifests(*values) if each["kind"] == "PersistentVolumeClaim"]


def test_data_outlives_the_release() -> None:
    for claim in claims(*OPEN):
        assert claim["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    modes = [claim["spec"]["accessModes"] for claim in claims(*OPEN)]
    assert modes == [["ReadWriteMany"], ["ReadWriteOnce"]]
    assert claims(*OPEN, "workspace.existingClaim=a", "store.existingClaim=b") == []


def test_a_claim_takes_the_clusters_class_another_or_none() -> None:
    def classes(value: str) -> object:
        return claims(*OPEN, f"workspace.storageClass={value}")[0]["spec"].get("storageClassName")

    assert [classes(""), classes("fast"), classes("-")] == [None, "fast", ""]


def claimed(*values: str) -> tuple[dict[str, bool], dict[str, Manifest]]:
    """Give the claims of the orchestrator's pod, each with whether all of it is read-only, and by path the mounts."""
    spec = of_kind(manifests(*OPEN, *values), "Deployment")["spec"]["template"]["spec"]
    found = {
        each["name"]: each["persistentVolumeClaim"]
        for each in spec["volumes"]
        if "persistentVolumeClaim" in each
    }
    named = [each["claimName"] for each in found.values()]
    assert len(named) == len(set(named)), "kubelets wait for ever for a second volume of a claim"
    mounts = {
        each["mountPath"]: {**each, "claim": found[each["name"]]["claimName"]}
        for each in spec["containers"][0]["volumeMounts"]
        if each["name"] in found
    }
    return {each["claimName"]: each.get("readOnly", False) for each in found.values()}, mounts


def test_a_claim_is_one_volume_however_many_data_roots_are_on_it() -> None:
    roots = ("lab1.claim=plates", "lab1.subPath=lab1", "lab2.claim=plates", "more.claim=other")
    read_only, mounts = claimed(*(f"dataRoots.{each}" for each in roots))
    workspace, store = "imaging-dl4mic-workspace", "imaging-dl4mic-store"
    assert read_only == {workspace: False, store: False, "plates": True, "other": True}
    places = {path: (each["claim"], each.get("subPath", "")) for path, each in mounts.items()}
    assert places == {
        "/workspace": (workspace, ""),
        "/store": (store, ""),
        "/data/lab1": ("plates", "lab1"),
        "/data/lab2": ("plates", ""),
        "/data/more": ("other", ""),
    }


@pytest.mark.parametrize(("claim", "path"), [("workspace", "/workspace"), ("store", "/store")])
def test_a_data_root_is_read_only_on_a_claim_that_is_written(claim: str, path: str) -> None:
    values = (f"{claim}.existingClaim=share", "dataRoots.lab1.claim=share")
    read_only, mounts = claimed(*values)
    assert read_only["share"] is False
    assert mounts["/data/lab1"]["name"] == mounts[path]["name"]
    assert mounts["/data/lab1"]["readOnly"] is True
    assert not mounts[path].get("readOnly")


def test_workspace_and_store_may_be_on_one_claim() -> None:
    read_only, mounts = claimed("workspace.existingClaim=share", "store.existingClaim=share")
    assert read_only == {"share": False}
    assert {each["claim"] for each in mounts.values()} == {"share"}


def test_a_change_of_the_configuration_starts_the_orchestrator_anew() -> None:
    def checksum(*values: str) -> str:
        pod = of_kind(manifests(*OPEN, *values), "Deployment")["spec"]["template"]
        return str(pod["metadata"]["annotations"]["checksum/configuration"])

    assert checksum() == checksum()
    assert checksum() != checksum("jobs.lookAhead=7")


def test_the_backend_reads_what_the_chart_writes() -> None:
    values = (
        *FULL,
        "workspace.subPath=dl4mic",
        "jobs.gpuResource=nvidia.com/mig-1g.10gb",
        "jobs.queue=imaging",
        "services.mine.image.repository=mine",
        "services.mine.resources.limits.memory=20Gi",
    )
    record = yaml.safe_load(of_kind(manifests(*values), "ConfigMap")["data"]["kubernetes.yaml"])
    read = settings_of(record)
    assert set(record) == {each.name for each in fields(KubernetesSettings)} - {"user", "group"}
    assert (read.namespace, read.workspace) == (
        "microscopy",
        Volume("imaging-dl4mic-workspace", "dl4mic"),
    )
    assert read.data_roots == {"lab1": Volume("plates", "lab1")}
    assert (read.gpu_resource, read.queue) == ("nvidia.com/mig-1g.10gb", "imaging")
    assert read.resources == {"mine": {"limits": {"memory": "20Gi"}}}
    assert read.image_pull_secrets == ("pull",)
    plain = of_kind(manifests(*OPEN), "ConfigMap")["data"]["kubernetes.yaml"]
    assert settings_of(yaml.safe_load(plain)) == KubernetesSettings(
        "microscopy", Volume("imaging-dl4mic-workspace"), labels=read.labels, owner="imaging-dl4mic"
    )


def notes(tmp_path: Path, *values: str) -> str:
    """Render NOTES.txt, which `helm template` leaves out, as a manifest of its own."""
    chart = tmp_path / "chart"
    shutil.copytree(CHART, chart)
    shutil.move(chart / "templates" / "NOTES.txt", chart / "notes.txt")
    (chart / "templates" / "notes.yaml").write_text(
        'notes: {{ tpl (.Files.Get "notes.txt") . | toJson }}\n'
    )
    rendered = yaml.safe_load_all(template(*values, chart=chart))
    (text,) = [each["notes"] for each in rendered if each and "notes" in each]
    return str(text)


def test_the_notes_tell_the_next_command(tmp_path: Path) -> None:
    said = notes(tmp_path, *OPEN)
    assert "rollout status deployment/imaging-dl4mic" in said
    assert "port-forward service/imaging-dl4mic 50051" in said
    assert "insecure=true: anybody who reaches" in said
    assert "helm --namespace microscopy test" not in said
    assert not re.search(r"\n\n\n", said)


def test_the_notes_say_that_without_nodes_no_job_gets_a_gpu(tmp_path: Path) -> None:
    assert "No job gets one: auto computes on the CPU" in notes(tmp_path, *OPEN, "rbac.nodes=false")


def test_the_notes_name_what_the_values_say(tmp_path: Path) -> None:
    said = notes(tmp_path, *FULL)
    assert "helm --namespace microscopy test imaging --logs" in said
    assert "DL4MIC_TOKEN_FILE=token" in said
    assert "NODE:$(kubectl" in said
    assert "insecure" not in said
