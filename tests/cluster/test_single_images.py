# SPDX-License-Identifier: BSD-3-Clause
"""Single images on a real cluster: one pod answers them with its model loaded, and goes when nobody asks any more."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import numpy as np
import pytest

from dl4mic.v1.data_pb2 import ModelReference
from dl4mic.v1.job_pb2 import Job
from dl4mic.v1.network_pb2 import PredictImageRequest
from dl4mic_client.pixels import from_messages, image_header, to_messages

from .installation import NAME, WATCH_SECONDS, Installation, wait_until

WARM = "--selector=dl4mic-network=blur,!dl4mic-job"

PIXELS = np.full((64, 64), 100, np.uint16)
PIXELS[10:20, 10:20] = PIXELS[40:50, 30:40] = 400
OBJECTS = 2


class Asked:
    """A single image that was sent but for its pixels: as long as they do not follow, its pod does not become idle."""

    def __init__(self, installation: Installation, model: str) -> None:
        image = image_header(PIXELS, "YX", {})
        reference = ModelReference(name=model)
        header = PredictImageRequest.Header(network="blur", model=reference, image=image)
        self._rest = threading.Event()
        messages = self._messages(header)
        self._answer = installation.networks.PredictImage(messages, timeout=2 * WATCH_SECONDS)

    def objects(self) -> int:
        """Send the pixels, and count the objects of the answer."""
        self._rest.set()
        return int(from_messages(self._answer).image.max())

    def close(self) -> None:
        """End the call, wherever it is."""
        self._rest.set()
        self._answer.cancel()

    def _messages(self, header: PredictImageRequest.Header) -> Iterator[PredictImageRequest]:
        first, *pixels = to_messages(header, PIXELS)
        yield first
        self._rest.wait()
        yield from pixels


@pytest.fixture
def model(installation: Installation) -> str:
    """Give one of two models of an installation that does not keep them loaded for long."""
    installation.install("--set", "jobs.warmIdleSeconds=5")
    jobs = ("single", "beside")
    for job_id in jobs:
        installation.train(job_id)
    made = [installation.wait(job_id) for job_id in jobs]
    assert [job.state for job in made] == [Job.SUCCEEDED] * 2, made
    return made[0].model


@pytest.fixture
def ask(installation: Installation, model: str) -> Iterator[Callable[[], Asked]]:
    """Begin to send a single image; no call stays open."""
    with ExitStack() as calls:
        yield lambda: calls.enter_context(closing(Asked(installation, model)))


def test_one_pod_answers_with_its_model_alone_and_goes_when_idle(
    installation: Installation, ask: Callable[[], Asked]
) -> None:
    first = ask()
    wait_until(lambda: ready_replicas(installation) == [1], WATCH_SECONDS)
    (pod,) = installation.get("pods", WARM)["items"]
    name = pod["metadata"]["name"]
    check_owner(installation)
    check_what_it_sees(installation, name)
    second = ask()
    assert first.objects() == OBJECTS
    assert installation.kubectl("get", "pods", WARM, "--output=name").split() == [f"pod/{name}"]
    assert second.objects() == OBJECTS
    wait_until(lambda: left(installation) == [], WATCH_SECONDS)
    with installation.client() as client:
        wait_until(lambda: client.instances() == [])


def ready_replicas(installation: Installation) -> list[int]:
    """Count the pods of each warm instance that are ready, by the probe that this cluster knows."""
    found = installation.get("deployments", WARM)["items"]
    return [each["status"].get("readyReplicas", 0) for each in found]


def check_owner(installation: Installation) -> None:
    """See that the cluster would delete it with the orchestrator."""
    (deployment,) = installation.get("deployments", WARM)["items"]
    (owner,) = deployment["metadata"]["ownerReferences"]
    orchestrator = installation.get("deployment", NAME)["metadata"]
    assert (owner["kind"], owner["uid"]) == ("Deployment", orchestrator["uid"])


def check_what_it_sees(installation: Installation, pod: str) -> None:
    """See that of the workspace, the pod has its token and one model, which it cannot change."""
    inside = ("exec", pod, "--")
    assert installation.kubectl(*inside, "ls", "/workspace").split() == ["models", "tokens"]
    assert len(installation.kubectl(*inside, "ls", "/workspace/tokens").split()) == 1
    found = installation.kubectl(*inside, "find", "/workspace", "-name", "model.json").split()
    assert len(found) == 1, found
    said = installation.kubectl(*inside, "touch", found[0], check=False)
    assert "Read-only file system" in said


def left(installation: Installation) -> list[str]:
    kinds = "deployments,replicasets,pods"
    return installation.kubectl("get", kinds, WARM, "--output=name").split()
