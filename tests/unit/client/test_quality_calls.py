# SPDX-License-Identifier: BSD-3-Clause
"""Quality control through client and command line: of several models, all weights, and finished predictions."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from scripted_server import ScriptedServer

import dl4mic_client
from dl4mic.v1 import network_pb2
from dl4mic_client.cli import main
from dl4mic_client.cli.exit_codes import ExitCode
from dl4mic_client.quality_calls import network_of_task

Run = Callable[..., Result]

NETWORKS = [
    network_pb2.Network(name="a", task="instance segmentation"),
    network_pb2.Network(name="b", task="denoising"),
]


@pytest.fixture
def run(server: ScriptedServer) -> Run:
    def run(*arguments: str) -> Result:
        return CliRunner().invoke(main, [*arguments, "--server", server.unix])

    return run


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


def test_a_service_of_several_networks_asks_for_one(
    client: dl4mic_client.Client, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def networks() -> list[network_pb2.Network]:
        raise dl4mic_client.NotFound("there is no network '' here; there is a, b")

    monkeypatch.setattr(client, "networks", networks)
    with pytest.raises(dl4mic_client.Refused, match="there is a, b") as refusal:
        client.qc_predictions(images, target="lab:masks", task="denoising")
    assert refusal.value.hint == "Name one whose task it is."


def test_a_network_of_the_task_is_found() -> None:
    assert network_of_task("denoising", NETWORKS) == "b"
    assert network_of_task("", NETWORKS[:1]) == "a"


@pytest.mark.parametrize(("task", "said"), [("", "say what"), ("alchemy", "does 'alchemy'")])
def test_an_unknown_task_is_refused_with_those_that_are_known(task: str, said: str) -> None:
    with pytest.raises(dl4mic_client.Refused, match=said) as refusal:
        network_of_task(task, NETWORKS)
    assert "denoising, instance segmentation" in str(refusal.value.hint)


RANKED = {
    "titles": {"f1/1": "F1"},
    "headline": ["f1/1"],
    "ranked_by": "f1/1",
    "pooled": {"f1/1": 0.9},
    "best_model": {"name": "nuclei:2", "weights": "10", "label": "nuclei:2 (epoch 10)"},
    "models": [
        {"name": "nuclei:2", "weights": "10", "label": "nuclei:2 (epoch 10)", "rank": 1,
         "ranking_score": 0.9, "against_best": None},
        {"name": "nuclei:2", "weights": "best", "label": "nuclei:2 (best)", "rank": 2,
         "ranking_score": 0.8, "against_best": {"p_adjusted": 0.03125, "verdict": "worse"}},
        {"name": "nuclei:1", "weights": "best", "label": "nuclei:1", "rank": None,
         "ranking_score": None, "against_best": {"p_adjusted": None, "verdict": "too few"}},
    ],
}  # fmt: skip


def test_several_models_are_ranked(run: Run, server: ScriptedServer, images: Path) -> None:
    server.files["job:q1/qc.json"] = json.dumps(RANKED).encode()
    asked = ["qc", "nuclei:2", "nuclei:1", "--weights", "all", "--network", "mock", "--source",
             str(images), "--target", str(images), "--job", "q1"]  # fmt: skip
    result = run(*asked)
    assert result.exit_code == 0
    assert [each.name for each in server.requests[0].models] == ["nuclei:2", "nuclei:1"]
    lines = [line.split() for line in result.stdout.splitlines()]
    assert ["1", "nuclei:2", "(epoch", "10)", "0.900", "the", "best"] in lines
    assert ["2", "nuclei:2", "(best)", "0.800", "0.0312", "worse"] in lines
    assert ["-", "nuclei:1", "-", "-", "has", "no", "score"] in lines
    assert "The best: nuclei:2 (epoch 10)" in result.stdout
    assert "dl4mic predict nuclei:2 --weights 10 --source" in result.stdout
    found = json.loads(run(*asked, "--json").stdout)
    assert [each["rank"] for each in found["models"]] == [1, 2, None]


def test_finished_predictions_are_scored(run: Run, server: ScriptedServer, images: Path) -> None:
    server.files["job:q1/qc.json"] = json.dumps({"pooled": {"f1/1": 0.5}, "models": [{}]}).encode()
    result = run("qc", "--prediction", str(images), "--target", "lab:masks", "--task",
                 "instance segmentation", "--job", "q1")  # fmt: skip
    assert result.exit_code == 0
    assert result.stdout.startswith("Scored the predictions in")
    assert "dl4mic predict" not in result.stdout
    assert server.requests[0].prediction == str(images)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "Name the models to score"),
        (["m", "--prediction", "p", "--target", "t"], "Name the models to score"),
        (["m"], "Missing option '--source'"),
        (["--prediction", "p"], "Missing option '--target'"),
        (["m", "--source", "s", "--task", "x"], "--task goes with --prediction"),
        (["--prediction", "p", "--target", "t", "--weights", "all"], "not with --prediction"),
        (["--prediction", "p", "--target", "t", "--set", "a=1"], "not with --prediction"),
    ],
)
def test_a_qc_that_says_too_much_or_too_little(
    run: Run, server: ScriptedServer, arguments: list[str], said: str
) -> None:
    result = run("qc", *arguments)
    assert result.exit_code == ExitCode.REFUSED
    assert said in result.stderr
    assert server.requests == []
