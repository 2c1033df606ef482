# SPDX-License-Identifier: BSD-3-Clause
"""A training, its quality control and a prediction in one go: what is sent, followed, fetched, and how it exits."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from scripted_server import ScriptedServer, progress, state

import dl4mic_client
from dl4mic.v1 import job_pb2
from dl4mic_client.cli import main
from dl4mic_client.cli.exit_codes import ExitCode

Run = Callable[..., Result]


@pytest.fixture
def run(server: ScriptedServer) -> Run:
    def run(*arguments: str) -> Result:
        return CliRunner().invoke(main, [*arguments, "--server", server.unix])

    return run


@pytest.fixture
def images(tmp_path: Path) -> str:
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "a.tif").write_bytes(b"pixels of a")
    return str(folder)


def all_three(images: str, *more: str) -> list[str]:
    places = ("--source", "--target", "--test-source", "--test-target", "--predict")
    return ["run", "mock", *(word for each in places for word in (each, images)), *more]


def test_three_jobs_refer_to_the_first(
    client: dl4mic_client.Client, server: ScriptedServer, images: str
) -> None:
    options = dl4mic_client.JobOptions(job="plate7", project="lab")
    sent = client.run(
        "mock", source=images, target=images, test_source=images, test_target=images,
        predict=images, model="nuclei", options=options, epochs=3, smallest=5, channel=1,
    )  # fmt: skip
    assert [each.id for each in sent.jobs] == ["plate7-train", "plate7-qc", "plate7-predict"]
    train, qc, predict = server.requests
    assert (train.model, train.parameters["epochs"].integer) == ("nuclei", 3)
    assert [each.name for each in qc.models] == ["job:plate7-train"]
    assert predict.model.name == "job:plate7-train"
    assert sorted(qc.parameters) == ["channel"]
    assert sorted(predict.parameters) == ["channel", "smallest"]
    assert {each.options.project for each in server.requests} == {"lab"}
    assert qc.data.target == images and not predict.data.target
    assert sent.wait() is sent


def test_only_what_was_asked_for_is_sent(
    client: dl4mic_client.Client, server: ScriptedServer, images: str
) -> None:
    sent = client.run("mock", source=images, target=images, predict=images)
    assert sent.qc is None and len(server.requests) == 2
    assert server.requests[0].model == "mock", "without a name the model has the network's"


def test_an_unknown_parameter_is_refused_with_near_names(
    client: dl4mic_client.Client, server: ScriptedServer, images: str
) -> None:
    with pytest.raises(dl4mic_client.Refused, match="epochs"):
        client.run("mock", source=images, target=images, epoch=3)
    assert server.requests == []


def test_all_or_none(client: dl4mic_client.Client, server: ScriptedServer, images: str) -> None:
    server.refuse_verb, server.script = "predict", [state("PENDING")]
    with pytest.raises(dl4mic_client.Refused, match="is not there"):
        client.run(
            "mock", source=images, target=images, test_source=images, test_target=images,
            predict=images,
        )  # fmt: skip
    assert [each.state for each in server.jobs.values()] == [job_pb2.Job.CANCELLED] * 2


def test_nothing_is_sent_where_a_folder_is_missing(
    client: dl4mic_client.Client, server: ScriptedServer, images: str
) -> None:
    with pytest.raises(dl4mic_client.Refused, match=r"test\.source"):
        client.run("mock", source=images, target=images, test_source=images + "x")
    assert server.requests == []


def test_it_is_followed_and_fetched(
    run: Run, server: ScriptedServer, images: str, tmp_path: Path
) -> None:
    server.files = {
        "job:r-train/report.pdf": b"%PDF",
        "job:r-train/model/weights": b"not fetched",
        "job:r-qc/qc.json": json.dumps({"pooled": {"f1": 0.5}}).encode(),
        "job:r-predict/predictions/a.tif": b"labels",
    }
    server.script = [state("RUNNING"), progress(10), state("SUCCEEDED", model="mock:1")]
    out = tmp_path / "out"
    result = run(*all_three(images, "--job", "r", "--out", str(out), "--set", "channel=1"))
    assert result.exit_code == 0, result.output
    written = sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())
    assert written == ["predictions/a.tif", "qc/qc.json", "training/report.pdf"]
    for said in ("1 of 3, train: job r-train", "3 of 3, predict: job r-predict"):
        assert said in result.stderr
    for said in ("Trained mock:1", "Scored job:r-train", "Done: 10 epochs", str(out)):
        assert said in result.stdout
    assert "Next" not in result.stdout
    assert all(each.parameters["channel"].integer == 1 for each in server.requests)


def test_json_is_one_document_of_all_jobs(run: Run, server: ScriptedServer, images: str) -> None:
    server.files = {"job:r-qc/qc.json": json.dumps({"pooled": {"f1": 0.5}}).encode()}
    result = run(*all_three(images, "--job", "r", "--json"))
    document = json.loads(result.stdout)
    assert [document[each]["job"]["id"] for each in document] == ["r-train", "r-qc", "r-predict"]
    assert document["qc"]["scores"] == {"f1": 0.5}


def test_the_first_failure_is_what_it_ends_with(
    run: Run, server: ScriptedServer, images: str
) -> None:
    error = job_pb2.JobError(code="OUT_OF_MEMORY", message="memory ran out", hint="Lower it.")
    server.script = [state("RUNNING"), state("FAILED", error=error)]
    result = run(*all_three(images, "--job", "r"))
    assert result.exit_code == ExitCode.JOB_FAILED
    assert result.stderr.count("dl4mic: Job r-train failed: memory ran out") == 1
    as_json = json.loads(run(*all_three(images, "--job", "s", "--json")).stdout)
    assert as_json["error"]["job"]["id"] == "s-train"
    assert as_json["predict"]["job"]["state"] == "FAILED"


def test_failed_files_have_an_exit_code(run: Run, server: ScriptedServer, images: str) -> None:
    server.files = {"job:r-qc/qc.json": b"{}"}
    server.script = [state("RUNNING"), progress(10, failed=1), state("SUCCEEDED")]
    result = run(*all_three(images, "--job", "r"))
    assert result.exit_code == ExitCode.SOME_FILES_FAILED


def test_detached_it_names_the_jobs(run: Run, server: ScriptedServer, images: str) -> None:
    server.script = [state("PENDING")]
    result = run(*all_three(images, "--job", "r", "--detach"))
    assert result.exit_code == 0
    for said in ("r-train", "r-qc", "r-predict", "dl4mic job watch r-train"):
        assert said in result.stdout
    document = json.loads(run(*all_three(images, "--job", "s", "--detach", "--json")).stdout)
    assert document["qc"]["id"] == "s-qc"


def test_results_are_not_written_over_images(run: Run, server: ScriptedServer, images: str) -> None:
    assert run(*all_three(images, "--out", images)).exit_code == ExitCode.REFUSED
    assert server.requests == []


TRIED = {
    "network": "mock",
    "device": {"kind": "cpu", "name": "a processor"},
    "schedule": {"epochs": 1, "steps_per_epoch": 60, "steps": 60, "batch_size": 4, "patches": 240},
    "measured": {"seconds_per_step": 0.1, "steps": 100},
    "estimate": {
        "seconds": 66.0,
        "shortest_seconds": 50.8,
        "longest_seconds": 85.8,
        "memory_bytes": 971_000_000,
        "device_memory_bytes": None,
    },
    "data": {"Used for training": "12 images of 256 x 256 (YX)"},
    "parameters": [
        {"name": "epochs", "value": 1, "unit": "", "origin": "preset"},
        {"name": "patch_size", "value": [256, 256], "unit": "px", "origin": "network"},
        {"name": "rate", "value": 0.1, "unit": "", "origin": "default"},
    ],
}


def test_a_dry_run_says_what_would_be_trained(
    run: Run, server: ScriptedServer, images: str
) -> None:
    server.files = {"job:t/dry-run.json": json.dumps(TRIED).encode()}
    command = ["train", "mock", "--source", images, "--target", images, "--dry-run"]
    result = run(*command, "--job", "t")
    assert result.exit_code == 0, result.output
    assert server.requests[0].dry_run
    for said in (
        "Nothing was trained",
        "1 epoch of 60 steps with 4 patches: 240 patches in all",
        "about 1:06, between 0:51 and 1:26 (0.1 s a step, over 100 steps)",
        "971 MB of main memory",
        "12 images of 256 x 256",
        "256 x 256 px (chosen from the data)",
        "without --dry-run",
    ):
        assert said in result.stdout
    assert "rate" not in result.stdout and "Next" not in result.stdout
    document = json.loads(run(*command, "--job", "t", "--json").stdout)
    assert document["dry_run"] == TRIED


def test_a_training_needs_the_name_of_its_model(
    run: Run, server: ScriptedServer, images: str
) -> None:
    result = run("train", "mock", "--source", images, "--target", images)
    assert result.exit_code == ExitCode.REFUSED
    assert "--model" in result.stderr
    assert server.requests == []


def test_an_example_comes_with_the_commands_to_try_it(
    run: Run, server: ScriptedServer, tmp_path: Path
) -> None:
    server.files = {
        f"example:mock/{name}": b"x"
        for name in (
            "mock/train/source/a.tif",
            "mock/train/target/a.tif",
            "mock/predict/b.tif",
            "other/train/source/c.tif",
            "LICENSE.txt",
        )
    }
    place = tmp_path / "my example"
    result = run("example", "mock", str(place))
    assert result.exit_code == 0, result.output
    there = sorted(path.relative_to(place).as_posix() for path in place.rglob("*.*"))
    assert there == ["LICENSE.txt", "predict/b.tif", "train/source/a.tif", "train/target/a.tif"]
    assert f"dl4mic train mock --source '{place}/train/source'" in result.stdout
    assert "--preset quick" in result.stdout and f"--server {server.unix}" in result.stdout
    assert "dl4mic qc" not in result.stdout, "there is no test part"
    assert "dl4mic run mock" in result.stdout and "--predict" in result.stdout
    again = run("example", "mock", str(place))
    assert again.exit_code == ExitCode.REFUSED
    assert "holds something already" in again.stderr


def test_a_network_without_an_example_says_so(
    run: Run, server: ScriptedServer, tmp_path: Path
) -> None:
    result = run("example", "mock", str(tmp_path / "e"))
    assert result.exit_code == ExitCode.REFUSED
    assert "mock has no example data" in result.stderr
    assert not (tmp_path / "e").exists()
