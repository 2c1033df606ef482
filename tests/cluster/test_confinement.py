# SPDX-License-Identifier: BSD-3-Clause
"""Pods of networks, seen from inside: no rights, no token, nothing to write to or to read but what is their job's.

The cluster of the tests does not enforce network policies; `tests/chart` evaluates what the rendered ones would allow.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from dl4mic.v1.data_pb2 import Dataset
from dl4mic.v1.job_pb2 import CancelJobRequest, Job

from .installation import NAME, Installation
from .site import DATA_ROOT

JOB = "confined"
FOLDER = f"/workspace/jobs/{JOB}"

OF_THE_POD = {"/tmp", "/dev/shm", "/dev/mqueue"}
"""In memory, or gone with the pod."""

FIND_WRITABLE = """
import os
for folder, folders, files in os.walk("/"):
    if folder in ("/proc", "/sys") or os.access(folder, os.W_OK):
        folders.clear()
        if folder not in ("/proc", "/sys"):
            print(folder)
    elif not folder.startswith("/dev"):
        for path in (os.path.join(folder, file) for file in files):
            if os.access(path, os.W_OK) and not os.path.islink(path):
                print(path)
"""

ASK_THE_API = """
import os, ssl, urllib.error, urllib.request
host = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
url = "https://%s:%s/api/v1/namespaces/default/pods" % host
try:
    urllib.request.urlopen(url, timeout=20, context=ssl._create_unverified_context())
    print("let in")
except urllib.error.HTTPError as error:
    print(error.code)
"""


CALL_AN_INSTANCE = """
import sys, grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from dl4mic.v1.job_pb2 import ListJobsRequest
from dl4mic.v1.job_pb2_grpc import JobServiceStub
with grpc.insecure_channel(sys.argv[1]) as channel:
    print(health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest()).status)
    try:
        print(JobServiceStub(channel).ListJobs(ListJobsRequest(), timeout=20))
    except grpc.RpcError as error:
        print(error.code().name, error.details())
"""


class Inside:
    """A pod, seen from inside.

    Parameters
    ----------
    name
        Of a pod, or ``deployment/NAME``.
    """

    def __init__(self, installation: Installation, name: str) -> None:
        self._installation = installation
        self._name = name

    def run(self, *command: str) -> str:
        """Run a command; return what it said, also where it failed."""
        return self._installation.kubectl("exec", self._name, "--", *command, check=False)

    def writable(self) -> set[str]:
        """Look for all that can be written to."""
        return set(self.run("python", "-c", FIND_WRITABLE).split())

    def status(self) -> dict[str, str]:
        """Tell the rights of its first process."""
        lines = self.run("cat", "/proc/1/status").splitlines()
        return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


@pytest.fixture(scope="module")
def inside(installation: Installation) -> Iterator[Inside]:
    """The pod of a training that is under way."""
    installation.train(JOB, epochs=2000, step_seconds=0.05)
    installation.wait_for(JOB, "checkpoint")
    (pod,) = installation.pods(JOB)
    yield Inside(installation, pod["metadata"]["name"])
    installation.jobs.CancelJob(CancelJobRequest(job_id=JOB))
    assert installation.wait(JOB).state == Job.CANCELLED


@pytest.fixture
def orchestrator(installation: Installation) -> Inside:
    """The orchestrator's pod."""
    return Inside(installation, f"deployment/{NAME}")


def assert_has_no_rights(pod: Inside) -> None:
    status = pod.status()
    for kind in ("Uid", "Gid"):
        assert set(status[kind].split()) == {"10001"}
    assert set(status["Groups"].split()) <= {"10001"}
    for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(status[kind], 16) == 0, kind
    assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"
    assert "not permitted" in pod.run("python", "-c", "import os; os.setuid(0)")


def test_it_is_not_root_and_cannot_become_it(inside: Inside) -> None:
    assert_has_no_rights(inside)


def test_it_writes_to_its_job_s_folder_alone(inside: Inside) -> None:
    assert inside.writable() == {FOLDER} | OF_THE_POD
    assert "Read-only file system" in inside.run("touch", "/app/service/x")


def test_it_sees_of_the_workspace_what_its_job_needs_and_cannot_change_what_it_reads(
    inside: Inside, installation: Installation
) -> None:
    assert inside.run("ls", "/workspace").split() == ["jobs", "tokens", "uploads"]
    assert inside.run("ls", "/workspace/jobs").split() == [JOB]
    sent = f"/workspace/uploads/{installation.location.removeprefix('uploads:')}"
    assert inside.run("ls", sent).split() == ["train"]
    assert "Read-only file system" in inside.run("touch", f"{sent}/train/images/x.tif")


def test_it_has_no_token_and_the_cluster_does_not_answer_it(inside: Inside) -> None:
    assert "No such file" in inside.run("ls", "/var/run/secrets/kubernetes.io")
    assert inside.run("python", "-c", ASK_THE_API).strip() in ("401", "403")
    assert "TOKEN" not in inside.run("env")


def test_whoever_reaches_its_port_has_no_answer_without_its_token(
    inside: Inside, orchestrator: Inside, installation: Installation
) -> None:
    (pod,) = installation.pods(JOB)
    address = f"{pod['status']['podIP']}:50051"
    said = orchestrator.run("python", "-c", CALL_AN_INSTANCE, address).split(maxsplit=2)
    assert said == ["1", "UNAUTHENTICATED", "this service answers its orchestrator alone\n"]
    tokens = inside.run("ls", "/workspace/tokens").split()
    assert len(tokens) == 1, "it sees its own alone"
    assert "Read-only file system" in inside.run("touch", f"/workspace/tokens/{tokens[0]}")


def test_the_orchestrator_is_confined_too(orchestrator: Inside) -> None:
    assert_has_no_rights(orchestrator)
    assert orchestrator.writable() == {"/workspace", "/store"} | OF_THE_POD


@pytest.mark.parametrize(
    ("verb", "what", "flags", "may"),
    [
        ("create", "jobs.batch", (), True),
        ("watch", "pods", (), True),
        ("list", "nodes", (), True),
        ("get", "secrets", (), False),
        ("create", "pods", (), False),
        ("create", "pods/exec", (), False),
        ("patch", "deployments.apps", (), False),
        ("create", "jobs.batch", ("--namespace=default",), False),
        ("list", "namespaces", (), False),
    ],
)
def test_its_rights_end_where_its_work_does(
    installation: Installation, verb: str, what: str, flags: tuple[str, ...], may: bool
) -> None:
    who = f"--as=system:serviceaccount:{installation.namespace}:{NAME}"
    said = installation.kubectl("auth", "can-i", verb, what, who, *flags, check=False)
    assert said.split()[-1] == ("yes" if may else "no")


def test_a_data_root_is_read_where_it_lies_and_cannot_be_changed(
    installation: Installation, orchestrator: Inside
) -> None:
    if not installation.has_data_root:
        pytest.skip("no folder of this machine can be a data root of a cluster of others")
    request = installation.train_request("rooted", epochs=2000, step_seconds=0.05)
    place = f"{DATA_ROOT}:train"
    request.data.CopyFrom(Dataset(source=f"{place}/images", target=f"{place}/masks"))
    installation.networks.Train(request)
    installation.wait_for("rooted", "checkpoint")
    (pod,) = installation.pods("rooted")
    images = f"/data/{DATA_ROOT}/train/images"
    for each in (Inside(installation, pod["metadata"]["name"]), orchestrator):
        assert "Read-only file system" in each.run("touch", f"{images}/x.tif")
    mounts = pod["spec"]["containers"][0]["volumeMounts"]
    assert {"train/images", "train/masks"} <= {each.get("subPath") for each in mounts}
    installation.jobs.CancelJob(CancelJobRequest(job_id="rooted"))
    installation.wait("rooted")
    assert json.dumps(pod["spec"]).count(f'"claimName": "{DATA_ROOT}"') == 1
