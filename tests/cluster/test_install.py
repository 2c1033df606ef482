# SPDX-License-Identifier: BSD-3-Clause
"""The administrator's guide, command by command: from an empty namespace to a trained model, and away again."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from container_engine import ROOT
from pages import blocks

from dl4mic.v1.job_pb2 import CancelJobRequest, Job
from dl4mic_client import Client, ClientError

from .cluster import Cluster
from .installation import NAME, RELEASE, Installation, wait_until
from .site import site

GUIDE = "helm/README.md"
ORCHESTRATOR = "--selector=app.kubernetes.io/component=orchestrator"
_END = "-- that was all --"

LAST_JOB = """
dl4mic train blur --source example/train/source --target example/train/target --model third \\
  --set epochs=1000 --set step_seconds=0.05 --job third --detach
until dl4mic job show third | grep --quiet 'third: running'; do sleep 0.5; done
"""
"""Runs when the release is taken away."""


class Shell:
    """A shell that is typed into, and ends at the first command that fails."""

    def __init__(self, folder: Path, variables: Mapping[str, str]) -> None:
        self._folder = folder
        self._process = subprocess.Popen(
            ["bash", "-euo", "pipefail"],
            cwd=folder,
            env=dict(variables),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def type(self, commands: str) -> str:
        """Type commands; return what they said."""
        assert self._process.stdin is not None and self._process.stdout is not None
        path = self._folder / "typed.sh"
        path.write_text(commands)
        self._process.stdin.write(f". {path} < /dev/null\necho '{_END}'\n")
        self._process.stdin.flush()
        said = []
        for line in self._process.stdout:
            if line.rstrip("\n") == _END:
                return "".join(said)
            said.append(line)
        raise AssertionError("".join(said))

    def close(self) -> None:
        """End it, and what it started."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()


@dataclass
class Followed:
    """What was said at each step, and where."""

    namespace: str
    folder: Path
    installed: str = ""
    used: str = ""
    upgraded: str = ""
    saved: str = ""
    restored: str = ""
    removed: str = ""


@pytest.fixture(scope="module")
def guide(
    cluster: Cluster, images: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Followed]:
    """The guide has been followed from its beginning to its end."""
    folder = tmp_path_factory.mktemp("guide")
    shutil.copytree(ROOT / "helm", folder / "helm")
    namespace = f"dl4mic-guide-{uuid.uuid4().hex[:8]}"
    variables = {**cluster.environment(), "NAMESPACE": namespace, "RELEASE": RELEASE}
    with site(cluster, namespace, NAME, folder / "volumes") as values:
        (folder / "site.yaml").write_text(yaml.safe_dump(values))
        shell = Shell(folder, variables)
        try:
            yield follow(shell, Followed(namespace, folder))
        finally:
            shell.close()
            cluster.kubectl("delete", "namespace", namespace, "--timeout=120s", check=False)


def follow(shell: Shell, told: Followed) -> Followed:
    """Type the guide's commands."""
    certify, token, install, use, upgrade, save, restore, remove = blocks(GUIDE, "bash")
    told.installed = shell.type(certify + token + install)
    told.used = shell.type(use)
    told.upgraded = shell.type(upgrade)
    told.saved = shell.type(save)
    told.restored = shell.type(restore)
    shell.type(LAST_JOB)
    told.removed = shell.type(remove)
    return told


def test_helm_test_trains_scores_and_predicts(guide: Followed) -> None:
    assert "Phase:          Succeeded" in guide.installed
    assert "chart-test:1" in guide.installed


def test_what_users_make_comes_back_to_them(guide: Followed) -> None:
    assert "first:1" in guide.used
    made = {path.relative_to(guide.folder).as_posix() for path in guide.folder.rglob("*")}
    assert {"training/report.pdf", "qc/qc.json", "predictions/spots0.tif"} <= made
    assert {f"training/model/{name}" for name in ("model.json", "weights_best.json")} <= made


def test_a_job_goes_on_while_the_orchestrator_is_replaced(guide: Followed) -> None:
    assert "second:1" in guide.upgraded
    assert re.search(r"attempt +1\n", guide.upgraded)


def test_a_job_s_pod_is_not_touched_by_an_upgrade(installation: Installation) -> None:
    installation.train("kept", epochs=2000, step_seconds=0.05)
    installation.wait_for("kept", "checkpoint")
    began = starts_of_orchestrator(installation)
    (pod,) = installation.pods("kept")
    installation.install("--set", "jobs.lookAhead=50")
    assert starts_of_orchestrator(installation) != began
    done = installation.job("kept").progress.done
    wait_until(lambda: installation.job("kept").progress.done > done)
    job = installation.job("kept")
    assert (job.state, job.attempt) == (Job.RUNNING, 1)
    assert [each["metadata"]["uid"] for each in installation.pods("kept")] == [
        pod["metadata"]["uid"]
    ]
    installation.jobs.CancelJob(CancelJobRequest(job_id="kept"))
    events = installation.events("kept")
    assert [each.sequence for each in events] == list(range(1, len(events) + 1))
    assert installation.job("kept").state == Job.CANCELLED


def test_who_gets_a_token_comes_in_without_a_restart(installation: Installation) -> None:
    began = starts_of_orchestrator(installation)
    access = installation.admit("guest")
    # A change of the pod has its node look at its Secrets at once, not within a minute or two.
    installation.kubectl("annotate", "pods", ORCHESTRATOR, "--overwrite", "dl4mic-tests=token")
    with installation.client(access) as client:
        wait_until(lambda: is_let_in(client), 150)
    assert starts_of_orchestrator(installation) == began


def starts_of_orchestrator(installation: Installation) -> list[str]:
    pods = installation.get("pods", ORCHESTRATOR)["items"]
    states = [pod["status"]["containerStatuses"][0]["state"] for pod in pods]
    return [state["running"]["startedAt"] for state in states if "running" in state]


def is_let_in(client: Client) -> bool:
    try:
        return bool(client.networks())
    except ClientError:
        return False


def test_a_back_up_holds_the_models_and_is_restored(guide: Followed) -> None:
    assert "models: 3 (3 copied" in guide.saved
    assert (guide.folder / "backup.tar").stat().st_size > 10_000
    assert "models: 3 " in guide.restored
    for model in ("chart-test:1", "first:1", "second:1"):
        assert model in guide.restored.partition("models: 3 ")[2]


def test_nothing_is_left_but_the_claims_and_what_the_guide_made_by_hand(
    guide: Followed, cluster: Cluster
) -> None:
    assert f"{NAME}-workspace" in guide.removed and f"{NAME}-store" in guide.removed
    hand_made = {"secret/certificate", "secret/tokens", "secret/tester"}
    claims = {f"persistentvolumeclaim/{NAME}-workspace", f"persistentvolumeclaim/{NAME}-store"}
    # What belongs to what is deleted, the cluster deletes in the background.
    wait_until(lambda: what_is_in(cluster, guide.namespace) == hand_made | claims)
    roles = cluster.kubectl("get", "clusterroles,clusterrolebindings", "--output=name")
    assert guide.namespace not in roles


def what_is_in(cluster: Cluster, namespace: str) -> set[str]:
    """List a namespace, but for what the cluster gives to every one, and what it reports."""
    kinds = cluster.kubectl("api-resources", "--namespaced", "--verbs=list", "--output=name")
    asked = ",".join(set(kinds.split()) - {"events", "events.events.k8s.io"})
    found = cluster.kubectl("get", asked, f"--namespace={namespace}", "--output=name").split()
    given = ("serviceaccount/default", "secret/default-token-", "configmap/kube-root-ca.crt")
    return {each for each in found if not each.startswith(given)}
