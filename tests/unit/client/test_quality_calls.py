# SPDX-License-Identifier: BSD-3-Clause
"""Quality control through the client: of several models, of all weights, and of finished predictions."""

from __future__ import annotations

from pathlib import Path

import pytest
from scripted_server import ScriptedServer

import dl4mic_client
from dl4mic.v1 import network_pb2
from dl4mic_client.quality_calls import network_of_task

NETWORKS = [
    network_pb2.Network(name="a", task="instance segmentation"),
    network_pb2.Network(name="b", task="denoising"),
]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "a.tif").write_bytes(b"pixels")
    return folder


def test_several_models_and_all_their_weights(
    client: dl4mic_client.Client, server: ScriptedServer
) -> None:
    places = {"source": "lab:low", "target": "lab:high"}
    client.qc("nuclei:1", "nuclei:2", network="mock", weights="all", **places)
    sent = server.requests[0]
    assert [(each.name, each.weights) for each in sent.models] == [
        ("nuclei:1", "all"),
        ("nuclei:2", "all"),
    ]


def test_no_model_at_all_is_refused(client: dl4mic_client.Client) -> None:
    with pytest.raises(dl4mic_client.Refused, match="models: none"):
        client.qc(source="lab:low", target="lab:high")


def test_finished_predictions_need_no_model(
    client: dl4mic_client.Client, server: ScriptedServer, images: Path
) -> None:
    client.qc_predictions(images, target="lab:masks", task="Instance segmentation")
    sent = server.requests[0]
    assert (sent.network, sent.prediction, sent.data.target) == ("mock", str(images), "lab:masks")
    assert (list(sent.models), sent.data.source) == ([], "")
    assert sent.options.job_id.startswith("qc-")


def test_predictions_are_sent_to_a_server_elsewhere(
    far_client: dl4mic_client.Client, server: ScriptedServer, images: Path
) -> None:
    far_client.qc_predictions(images, target=images, source=images)
    sent = server.requests[0]
    places = [sent.prediction, sent.data.target, sent.data.source]
    assert all(each.startswith("uploads:") for each in places)


def test_a_network_of_the_task_is_found() -> None:
    assert network_of_task("denoising", NETWORKS) == "b"
    assert network_of_task("", NETWORKS[:1]) == "a"


@pytest.mark.parametrize(("task", "said"), [("", "say what"), ("alchemy", "does 'alchemy'")])
def test_an_unknown_task_is_refused_with_those_that_are_known(task: str, said: str) -> None:
    with pytest.raises(dl4mic_client.Refused, match=said) as refusal:
        network_of_task(task, NETWORKS)
    assert "denoising, instance segmentation" in str(refusal.value.hint)
