# SPDX-License-Identifier: BSD-3-Clause
"""The command line: what it prints, for people and for programs, and how it exits."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from scripted_server import ScriptedServer, metric, progress, state

from dl4mic.v1 import job_pb2, model_pb2, request_pb2
from dl4mic_client.cli import main
from dl4mic_client.cli.exit_codes import MEANINGS, ExitCode

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


def training(images: str, *more: str) -> list[str]:
    return ["train", "mock", "--source", images, "--target", images, "--model", "nuclei", *more]


def test_help_lists_every_exit_code() -> None:
    result = CliRunner().invoke(main, ["--help"])
    assert result.exit_code == 0
    assert set(MEANINGS) == set(ExitCode)
    for code, meaning in MEANINGS.items():
        assert f"{code.value:>3}  {meaning}" in result.stdout


@pytest.mark.parametrize("command", ["train", "qc", "predict", "jobs", "models", "networks"])
def test_each_command_has_the_options_of_all(command: str) -> None:
    result = CliRunner().invoke(main, [command, "--help"])
    assert "--server" in result.stdout
    assert "--json" in result.stdout


def test_help_needs_neither_grpc_nor_rich() -> None:
    code = (
        "import sys; from dl4mic_client.cli import main;"
        "sys.exit(any(name in sys.modules for name in ('grpc', 'google.protobuf', 'rich')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_training_ends_with_model_and_next_commands(
    run: Run, server: ScriptedServer, images: str
) -> None:
    server.script = [
        state("PENDING", waiting_reason="1 job ahead"),
        state("RUNNING"),
        metric("loss", 0.25),
        progress(10),
        state("SUCCEEDED", model="nuclei:1"),
    ]
    result = run(*training(images, "--set", "epochs=20", "--preset", "default", "--job", "t1"))
    assert result.exit_code == 0
    assert "pending: 1 job ahead" in result.stderr
    assert "training 10/10 epochs, loss 0.25" in result.stderr
    assert result.stdout.startswith("Trained nuclei:1 in 0:03.")
    assert f"dl4mic qc nuclei:1 --source IMAGES --target TARGETS --server {server.unix}" in (
        result.stdout
    )
    assert "dl4mic job download t1 --out DIR" in result.stdout
    (sent,) = server.requests
    assert sent.parameters["epochs"].integer == 20


def test_every_option_of_a_job_is_sent(run: Run, server: ScriptedServer, images: str) -> None:
    run(
        *training(images, "--job", "t1", "--title", "Plate 7", "--project", "lab"),
        *("--priority", "5", "--label", "plate=7", "--deadline", "2h", "--device", "cpu"),
        *("--from", "job:t0", "--weights", "last", "--axes", "YX", "--detach"),
        *("--validation-source", images, "--validation-target", images),
    )
    (sent,) = server.requests
    options = sent.options
    assert (options.job_id, options.title, options.project) == ("t1", "Plate 7", "lab")
    assert (options.priority, dict(options.labels)) == (5, {"plate": "7"})
    assert options.deadline.seconds == 7200
    assert options.device == request_pb2.JobOptions.CPU
    assert (sent.parent.name, sent.parent.weights) == ("job:t0", "last")
    assert (sent.data.axes, sent.validation.target) == ("YX", images)


def test_detached_it_does_not_wait(run: Run, server: ScriptedServer, images: str) -> None:
    server.script = [state("PENDING")]
    result = run(*training(images, "--job", "t1", "--detach"))
    assert result.exit_code == 0
    assert "dl4mic job watch t1" in result.stdout
    assert "dl4mic job download t1 --out DIR" in result.stdout


def test_json_is_one_document(run: Run, server: ScriptedServer, images: str) -> None:
    server.script = [state("RUNNING"), state("SUCCEEDED", model="nuclei:1")]
    result = run(*training(images, "--json"))
    assert result.stderr == ""
    document = json.loads(result.stdout)
    assert (document["job"]["state"], document["job"]["model"]) == ("SUCCEEDED", "nuclei:1")


def test_a_failed_job_shows_error_files_and_hint(
    run: Run, server: ScriptedServer, images: str
) -> None:
    error = job_pb2.JobError(
        code="INVALID_INPUT",
        message="2 images cannot be used",
        hint="Save them again.",
        files=[{"path": "source/a.tif", "message": "holds NaN"}],
        file_count=2,
    )
    server.script = [state("RUNNING"), state("FAILED", error=error)]
    result = run(*training(images))
    assert result.exit_code == ExitCode.JOB_FAILED
    for said in ("2 images cannot be used", "source/a.tif: holds NaN", "1 more", "Save them"):
        assert said in result.stderr
    assert result.stdout == ""
    as_json = json.loads(run(*training(images, "--json")).stdout)
    assert as_json["error"]["job"]["error"]["code"] == "INVALID_INPUT"


def test_a_cancelled_job_has_its_own_exit_code(
    run: Run, server: ScriptedServer, images: str
) -> None:
    server.script = [state("RUNNING"), state("CANCELLED")]
    assert run(*training(images)).exit_code == ExitCode.CANCELLED


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--set", "epochs=0"], "parameters.epochs: 0 is not allowed: expected an integer from 1"),
        (["--set", "epoch=3"], "did you mean epochs?"),
        (["--set", "epochs"], "key=value"),
        (["--deadline", "soon"], "90m"),
        (["--label", "plate"], "KEY=VALUE"),
        (["--project", "My Lab"], "options.project"),
    ],
)
def test_refusals_say_what_would_be_right(
    run: Run, server: ScriptedServer, images: str, more: list[str], said: str
) -> None:
    result = run(*training(images, *more))
    assert result.exit_code == ExitCode.REFUSED
    assert said in result.stderr
    assert server.requests == []


def test_refusals_in_json_name_the_fields(run: Run, images: str) -> None:
    result = run(*training(images, "--set", "epochs=0", "--json"))
    error = json.loads(result.stdout)["error"]
    assert (error["kind"], error["reason"]) == ("Refused", "REQUEST_REFUSED")
    assert [each["field"] for each in error["fields"]] == ["parameters.epochs"]


def test_a_qc_prints_its_scores(run: Run, server: ScriptedServer, images: str) -> None:
    server.files["job:q1/qc.json"] = json.dumps(
        {
            "titles": {"f1/1": "F1", "n/1": "true objects"},
            "headline": ["f1/1"],
            "pooled": {"n/1": 12, "f1/1": 0.8125, "none/1": None},
        }
    ).encode()
    result = run("qc", "job:t1", "--network", "mock", "--source", images, "--target", images,
                 "--job", "q1")  # fmt: skip
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].startswith("Scored job:t1 in")
    assert lines[2].split() == ["F1", "0.812", "f1/1"]
    assert lines[3].split() == ["true", "objects", "12", "n/1"]
    assert lines[4].split() == ["none/1", "not", "defined", "none/1"]
    assert "dl4mic predict job:t1" in result.stdout
    scores = json.loads(run("qc", "job:t1", "--network", "mock", "--source", images, "--target",
                            images, "--job", "q1", "--json").stdout)["scores"]  # fmt: skip
    assert scores["f1/1"] == 0.8125


def test_predictions_come_into_the_folder(
    run: Run, server: ScriptedServer, images: str, tmp_path: Path
) -> None:
    server.files["job:p1/predictions/a.tif"] = b"labels"
    out = tmp_path / "out"
    result = run("predict", "job:t1", "--network", "mock", "--source", images, "--out", str(out),
                 "--set", "smallest=3", "--job", "p1")  # fmt: skip
    assert result.exit_code == 0
    assert (out / "a.tif").read_bytes() == b"labels"
    assert str(out) in result.stdout
    assert server.requests[0].parameters["smallest"].integer == 3


def test_some_failed_files_have_an_exit_code(run: Run, server: ScriptedServer, images: str) -> None:
    warning = job_pb2.JobEvent(warning={"code": "file-failed", "message": "b.tif: holds NaN"})
    server.script = [state("RUNNING"), warning, progress(10, failed=1), state("SUCCEEDED")]
    result = run("predict", "job:t1", "--network", "mock", "--source", images)
    assert result.exit_code == ExitCode.SOME_FILES_FAILED
    assert "Done: 9 epochs" in result.stdout
    assert (result.stderr + result.stdout).count("b.tif: holds NaN") == 1
    assert "1 failed" in result.stdout


def test_results_are_never_written_over_the_images(
    run: Run, server: ScriptedServer, images: str
) -> None:
    result = run("predict", "job:t1", "--network", "mock", "--source", images, "--out", images)
    assert result.exit_code == ExitCode.REFUSED
    assert "over" in result.stderr
    assert server.requests == []


def test_no_server_has_an_exit_code(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["jobs", "--server", f"unix://{tmp_path}/none"])
    assert result.exit_code == ExitCode.UNREACHABLE
    assert "No server answers" in result.stderr


def test_the_server_may_be_named_before_the_command_or_by_the_environment(
    server: ScriptedServer,
) -> None:
    before = CliRunner().invoke(main, ["--server", server.unix, "--json", "jobs"])
    assert json.loads(before.stdout) == {"jobs": []}
    named = CliRunner().invoke(main, ["jobs"], env={"DL4MIC_SERVER": server.tcp})
    assert named.stdout == "There are no jobs.\n"


def test_jobs_are_listed_and_shown(run: Run, server: ScriptedServer, images: str) -> None:
    server.script = [state("PENDING", waiting_reason="2 CPUs are needed")]
    run(*training(images, "--job", "t1", "--detach"))
    row = run("jobs").stdout.splitlines()[1].split()
    assert row[:4] == ["t1", "train", "mock", "pending"]
    shown = run("job", "show", "t1").stdout
    assert "train with mock" in shown
    assert "3 jobs" in shown
    assert json.loads(run("job", "show", "t1", "--json").stdout)["id"] == "t1"
    assert run("jobs", "--state", "failed").stdout == "There are no jobs.\n"


def test_a_job_is_watched_as_lines_of_json(run: Run, server: ScriptedServer, images: str) -> None:
    run(*training(images, "--job", "t1", "--detach"))
    result = run("job", "watch", "t1", "--json")
    events = [json.loads(line) for line in result.stdout.splitlines()]
    assert [int(event["sequence"]) for event in events] == [1, 2, 3, 4]
    rest = run("job", "watch", "t1", "--json", "--after", "3")
    assert len(rest.stdout.splitlines()) == 1
    assert "Trained job:t1" in run("job", "watch", "t1").stdout


def test_lines_of_json_stay_lines_when_the_job_fails(
    run: Run, server: ScriptedServer, images: str
) -> None:
    server.script = [state("RUNNING"), state("FAILED", error={"message": "it broke"})]
    run(*training(images, "--job", "t1", "--detach"))
    result = run("job", "watch", "t1", "--json")
    assert result.exit_code == ExitCode.JOB_FAILED
    last = json.loads(result.stdout.splitlines()[-1])
    assert last["state"]["error"]["message"] == "it broke"


def test_a_job_is_cancelled_retried_and_deleted(
    run: Run, server: ScriptedServer, images: str
) -> None:
    server.script = [state("RUNNING")]
    run(*training(images, "--job", "t1", "--detach"))
    assert "cancelled" in run("job", "cancel", "t1").stdout
    assert "attempt 2" in run("job", "retry", "t1").stdout
    assert "2.05 kB freed" in run("job", "delete", "t1").stdout
    assert run("job", "show", "t1").exit_code == ExitCode.REFUSED


def test_logs_and_results_of_a_job(
    run: Run, server: ScriptedServer, images: str, tmp_path: Path
) -> None:
    server.log = "epoch 1\nepoch 2\n"
    server.files["job:t1/report.pdf"] = b"%PDF"
    run(*training(images, "--job", "t1", "--detach"))
    assert run("job", "logs", "t1").stdout == server.log
    assert json.loads(run("job", "logs", "t1", "--json").stdout)["log"] == server.log
    out = tmp_path / "results"
    assert run("job", "download", "t1", "--out", str(out)).stdout == f"1 file in {out}\n"
    assert (out / "report.pdf").read_bytes() == b"%PDF"


def test_networks_are_listed_and_described(run: Run) -> None:
    assert run("networks").stdout.splitlines()[1].split()[0] == "mock"
    described = run("networks", "mock").stdout
    assert "epochs  [10]  (train)" in described
    assert "an integer from 1 to 100" in described
    assert "rate" not in described
    assert "rate" in run("networks", "mock", "--advanced").stdout
    unknown = run("networks", "nosuch")
    assert unknown.exit_code == ExitCode.REFUSED
    assert "Use mock." in unknown.stderr


def test_models(run: Run, server: ScriptedServer) -> None:
    control = model_pb2.QualityControl(job_id="q1", scores={"n_true/1": 3, "f1@0.5/1": 0.8})
    model = model_pb2.Model(name="nuclei", version=1, network="mock", quality_controls=[control])
    server.models["nuclei:1"] = model
    row = run("models").stdout.splitlines()[1]
    assert row.startswith("nuclei:1")
    assert "f1@0.5/1 0.800" in row
    assert "QC by job q1" in run("model", "show", "nuclei:1").stdout
    assert run("model", "alias", "nuclei:1", "good").stdout == "nuclei:good is now nuclei:1\n"
    assert "1 kB freed" in run("model", "delete", "nuclei:1").stdout
    assert "no models" in run("models").stdout


def test_a_model_is_imported_and_waited_for(run: Run, server: ScriptedServer, images: str) -> None:
    server.script = [state("RUNNING"), progress(1), state("SUCCEEDED", model="others:1")]
    done = run("model", "import", images, "--name", "others", "--network", "mock")
    assert done.exit_code == 0, done.output
    assert "Imported others:1" in done.stdout
    assert "dl4mic predict others:1" in done.stdout
    sent = server.requests[0]
    assert isinstance(sent, request_pb2.ImportModelRequest)
    assert (sent.source, sent.model) == (images, "others")


def test_a_model_that_is_none_ends_in_words(run: Run, server: ScriptedServer, images: str) -> None:
    error = {"code": "INVALID_INPUT", "message": "it is none", "hint": "Name another."}
    server.script = [state("RUNNING"), state("FAILED", error=error)]
    done = run("model", "import", images, "--name", "others", "--network", "mock")
    assert done.exit_code == ExitCode.JOB_FAILED
    assert "it is none" in done.stderr and "Name another." in done.stderr


def test_a_model_is_exported_into_a_folder(
    run: Run, server: ScriptedServer, tmp_path: Path
) -> None:
    server.models["nuclei:1"] = model_pb2.Model(name="nuclei", version=1, network="mock")
    out = str(tmp_path / "out")
    arguments = ("model", "export", "nuclei:1", "--format", "plain", "--out", out)

    class Files(dict[str, bytes]):
        def items(self):  # type: ignore[no-untyped-def]
            return {f"job:{each}/export/m.zip": b"PK" for each in server.jobs}.items()

        def __getitem__(self, name: str) -> bytes:
            return b"PK"

    server.files = Files()
    done = run(*arguments)
    assert done.exit_code == 0, done.output
    assert str(tmp_path / "out" / "m.zip") in done.stdout
    assert (tmp_path / "out" / "m.zip").read_bytes() == b"PK"
    assert json.loads(run(*arguments, "--json").stdout)["files"] == [
        str(tmp_path / "out" / "m.zip")
    ]


def test_the_origin_of_an_imported_model_is_shown(run: Run, server: ScriptedServer) -> None:
    record = {"origin": {"file": "nuclei.zip", "format": "plain", "sha256": "0"}}
    model = model_pb2.Model(name="nuclei", version=1, record=json.dumps(record))
    server.models["nuclei:1"] = model
    assert "nuclei.zip, imported as plain" in run("model", "show", "nuclei:1").stdout


def test_data_goes_and_comes(run: Run, server: ScriptedServer, images: str, tmp_path: Path) -> None:
    assert run("data", "push", images, "--name", "plate").stdout == "uploads:plate\n"
    assert "uploads:plate/a.tif" in run("data", "list").stdout
    assert "1 file in" in run("data", "pull", "uploads:plate", str(tmp_path / "back")).stdout
    assert (tmp_path / "back" / "a.tif").read_bytes() == b"pixels of a"
    assert "1 file, " in run("data", "delete", "uploads:plate").stdout


def test_nodes(run: Run) -> None:
    listed = run("nodes").stdout
    assert "6 of 8" in listed
    assert "busy" in listed


@pytest.mark.parametrize(
    "command",
    [
        ["networks"], ["networks", "mock"], ["jobs"], ["job", "show", "t1"], ["job", "cancel", "t1"],
        ["job", "retry", "t1"], ["job", "logs", "t1"], ["job", "delete", "t1"], ["models"], ["nodes"],
        ["data", "list"], ["data", "delete", "uploads:x"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_every_answer_can_be_json(
    run: Run, server: ScriptedServer, images: str, command: list[str]
) -> None:
    server.script = [state("FAILED")]
    run(*training(images, "--job", "t1", "--detach"))
    document: Any = json.loads(run(*command, "--json").stdout)
    assert "error" not in document or command[:2] == ["job", "show"]
