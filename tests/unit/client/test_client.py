# SPDX-License-Identifier: BSD-3-Clause
"""What the calls of the client send, and what they give back."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from scripted_server import ScriptedServer, metric, progress, state

import dl4mic_client
from dl4mic.v1 import data_pb2, job_pb2, model_pb2, network_pb2, request_pb2
from dl4mic_client import JobOptions
from dl4mic_client.model_source import network_that_imports


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "a.tif").write_bytes(b"pixels of a")
    return folder


def test_train_sends_typed_parameters_and_places_as_they_lie(
    client: dl4mic_client.Client, server: ScriptedServer, images: Path
) -> None:
    options = JobOptions(
        job="a1", project="lab", labels={"plate": "7"}, deadline_seconds=90, device="cpu"
    )
    job = client.train(
        "mock",
        source=images,
        target=str(images),
        model="nuclei",
        options=options,
        epochs=20,
        rate=1e-3,
        augment=False,
        grid=np.array([2, 2]),
    )
    sent = server.requests[0]
    assert isinstance(sent, request_pb2.TrainRequest)
    assert (sent.model, sent.data.source, sent.data.target) == ("nuclei", str(images), str(images))
    assert sent.parameters["epochs"].integer == 20
    assert sent.parameters["rate"].number == 1e-3
    assert sent.parameters["augment"].WhichOneof("kind") == "boolean"
    assert [each.integer for each in sent.parameters["grid"].list.values] == [2, 2]
    assert (sent.options.job_id, sent.options.project) == ("a1", "lab")
    assert sent.options.deadline.seconds == 90
    assert sent.options.device == request_pb2.JobOptions.CPU
    assert (job.id, job.state) == ("a1", "PENDING")


def test_jobs_without_an_id_get_readable_ones_that_differ(
    client: dl4mic_client.Client, images: Path
) -> None:
    made = [client.train("mock", source=images, target=images, model="n").id for _ in range(2)]
    assert made[0] != made[1]
    assert all(each.startswith("train-n-") for each in made)


def test_locations_on_the_server_are_passed_on(
    client: dl4mic_client.Client, server: ScriptedServer
) -> None:
    client.qc("job:t1", network="mock", source="lab:plate/low", target="job:a1/predictions")
    sent = server.requests[0]
    assert (sent.data.source, sent.data.target) == ("lab:plate/low", "job:a1/predictions")
    assert sent.models[0].name == "job:t1"


def test_a_folder_that_is_not_there_is_refused_before_anything_is_sent(
    client: dl4mic_client.Client, server: ScriptedServer
) -> None:
    with pytest.raises(dl4mic_client.Refused, match=r"data\.source.*'nowhere'"):
        client.train("mock", source="nowhere", model="n")
    assert server.requests == []


def test_a_refusal_names_field_reason_and_range(client: dl4mic_client.Client, images: Path) -> None:
    with pytest.raises(dl4mic_client.Refused) as caught:
        client.train("mock", source=images, target=images, model="n", epochs=1000, epoch=3)
    faults = {each.field: each.description for each in caught.value.faults}
    assert "from 1 to 100" in faults["parameters.epochs"]
    assert "did you mean epochs" in faults["parameters.epoch"]
    assert caught.value.reason == "REQUEST_REFUSED"
    assert str(caught.value).count("from 1 to 100") == 1


@pytest.mark.parametrize("value", [None, {"a": 1}, b"bytes"])
def test_values_of_no_parameters_type_are_refused(
    client: dl4mic_client.Client, images: Path, value: object
) -> None:
    with pytest.raises(dl4mic_client.Refused, match=r"parameters\.epochs"):
        client.train("mock", source=images, target=images, model="n", parameters={"epochs": value})


def test_the_network_of_a_model_is_looked_up(
    client: dl4mic_client.Client, server: ScriptedServer, images: Path, tmp_path: Path
) -> None:
    server.models["nuclei"] = model_pb2.Model(name="nuclei", version=2, network="mock")
    client.predict("nuclei", source=images, weights="last")
    trained = client.train("mock", source=images, target=images, model="n")
    client.predict(f"job:{trained.id}", source=images)
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.json").write_text(json.dumps({"network": "mock"}))
    client.predict(folder, source=images)
    by_name, _, by_job, by_folder = server.requests
    assert {each.network for each in (by_name, by_job, by_folder)} == {"mock"}
    assert by_name.model.weights == "last"
    assert by_folder.model.name == str(folder)


def test_a_folder_without_a_model_is_refused(client: dl4mic_client.Client, images: Path) -> None:
    with pytest.raises(dl4mic_client.Refused, match=r"model\.json"):
        client.predict(images, source=images)


def test_a_job_that_succeeds_is_waited_for(
    client: dl4mic_client.Client, server: ScriptedServer, images: Path
) -> None:
    server.script = [state("RUNNING"), metric("loss", 0.5), state("SUCCEEDED", model="nuclei:1")]
    job = client.train("mock", source=images, target=images, model="nuclei").wait()
    assert (job.state, job.model) == ("SUCCEEDED", "nuclei:1")


def test_a_job_that_fails_raises_its_error_and_hint(
    client: dl4mic_client.Client, server: ScriptedServer, images: Path
) -> None:
    error = job_pb2.JobError(
        code="OUT_OF_MEMORY", message="12 GiB were too few", hint="Lower batch_size."
    )
    server.script = [state("RUNNING"), state("FAILED", error=error)]
    with pytest.raises(dl4mic_client.JobFailed, match="12 GiB were too few") as caught:
        client.train("mock", source=images, target=images, model="n").wait()
    assert caught.value.hint == "Lower batch_size."
    assert caught.value.record.error.code == job_pb2.JobError.OUT_OF_MEMORY


def test_waiting_no_longer_than_told(
    client: dl4mic_client.Client, server: ScriptedServer, images: Path
) -> None:
    server.script = [state("RUNNING")]
    job = client.train("mock", source=images, target=images, model="n")
    with pytest.raises(TimeoutError):
        job.wait(timeout_seconds=0.3)
    assert server.jobs[job.id].state == job_pb2.Job.RUNNING


def test_a_cut_watch_goes_on_and_misses_and_repeats_nothing(
    client: dl4mic_client.Client, server: ScriptedServer, images: Path
) -> None:
    server.script = [state("RUNNING"), *(progress(done) for done in range(8)), state("SUCCEEDED")]
    server.cuts = [3, 0, 0, 4]
    job = client.train("mock", source=images, target=images, model="n")
    assert [event.sequence for event in job.watch()] == list(range(1, 11))
    assert server.watched_from == [0, 3, 3, 3, 7]


def test_a_watch_of_a_server_that_stays_away_gives_up(
    client: dl4mic_client.Client, server: ScriptedServer, images: Path
) -> None:
    server.script = [state("RUNNING")]
    job = client.train("mock", source=images, target=images, model="n")
    server.stop()
    with pytest.raises(dl4mic_client.Unreachable):
        list(job.watch(patience_seconds=0.3))


def test_a_call_that_meets_the_server_s_end_is_made_again(
    client: dl4mic_client.Client, server: ScriptedServer, images: Path
) -> None:
    job = client.train("mock", source=images, target=images, model="n")
    server.going_down = 2
    assert job.refresh().id == job.id
    server.going_down = 100
    with pytest.raises(dl4mic_client.Unreachable, match="was ending"):
        job.refresh()


def test_leaving_a_watch_cancels_nothing(
    client: dl4mic_client.Client, server: ScriptedServer, images: Path
) -> None:
    server.script = [state("RUNNING"), progress(1)]
    job = client.train("mock", source=images, target=images, model="n")
    for _ in job.watch():
        break
    assert client.job(job.id).state == "RUNNING"


def test_cancel_then_retry(
    client: dl4mic_client.Client, server: ScriptedServer, images: Path
) -> None:
    server.script = [state("RUNNING")]
    job = client.train("mock", source=images, target=images, model="n")
    assert job.cancel().has_ended
    with pytest.raises(dl4mic_client.JobCancelled):
        job.wait()
    assert (job.retry().state, job.record.attempt) == ("PENDING", 2)


def test_jobs_come_from_all_pages_up_to_the_limit(
    client: dl4mic_client.Client, images: Path
) -> None:
    made = [client.train("mock", source=images, target=images, model="n").id for _ in range(3)]
    assert [job.id for job in client.jobs()] == made[::-1]
    assert [job.id for job in client.jobs(limit=2)] == made[:0:-1]
    assert client.jobs(states=["failed"]) == []


def test_a_log_is_read_to_its_end(
    client: dl4mic_client.Client, server: ScriptedServer, images: Path
) -> None:
    server.log = "epoch 1\nepoch 2\n"
    job = client.train("mock", source=images, target=images, model="n")
    assert "".join(job.log()) == server.log


def test_what_is_not_there_is_not_found(client: dl4mic_client.Client) -> None:
    with pytest.raises(dl4mic_client.NotFound, match="nosuch"):
        client.job("nosuch")


def test_no_server(tmp_path: Path) -> None:
    with (
        dl4mic_client.connect(f"unix://{tmp_path}/none") as client,
        pytest.raises(dl4mic_client.Unreachable, match=str(tmp_path)),
    ):
        client.networks()


@pytest.mark.parametrize("address", ["", "host", "host:0", "host:99999", "http://host:80", ":80"])
def test_what_is_no_address_is_refused(address: str) -> None:
    from dl4mic_client import address as addresses

    with pytest.raises(dl4mic_client.Refused, match="HOST:PORT"):
        addresses.parse(address)


@pytest.mark.parametrize("dtype", ["uint8", ">u2", "float32", "bool"])
def test_an_image_goes_and_its_prediction_comes(client: dl4mic_client.Client, dtype: str) -> None:
    image = np.arange(700 * 900).reshape(700, 900).astype(dtype).T
    answer = client.predict_image(
        image, axes="YX", model="job:t", network="mock", pixel_size={"X": 0.5}
    )
    assert list(answer.images) == ["label image", "probability"]
    np.testing.assert_array_equal(answer.image, image)
    assert answer.image.dtype == image.dtype.newbyteorder("=")
    assert answer.axes["label image"] == "YX"
    assert answer.pixel_sizes["label image"] == {"X": 0.5}
    assert answer.tables["objects"].startswith("label,area")


def test_an_image_whose_axes_do_not_fit_is_refused(client: dl4mic_client.Client) -> None:
    with pytest.raises(dl4mic_client.Refused, match=r"'YX' names 2 axes; the array has 3"):
        client.predict_image(np.zeros((2, 3, 4)), axes="YX", model="job:t", network="mock")


def test_an_image_that_came_damaged_is_not_returned(
    client: dl4mic_client.Client, server: ScriptedServer
) -> None:
    server.damage = True
    with pytest.raises(dl4mic_client.TransferFault, match="uint16"):
        client.predict_image(np.zeros((3, 4), "uint16"), axes="YX", model="job:t", network="mock")


def test_models(client: dl4mic_client.Client, server: ScriptedServer) -> None:
    server.models["nuclei:1"] = model_pb2.Model(name="nuclei", version=1)
    assert client.set_alias("nuclei:1", "good").aliases == ["good"]
    assert [each.version for each in client.models()] == [1]
    assert client.delete_model("nuclei:1") == 1000


def test_a_model_goes_out_as_a_job(client: dl4mic_client.Client, server: ScriptedServer) -> None:
    server.models["nuclei:1"] = model_pb2.Model(name="nuclei", version=1, network="mock")
    job = client.export_model("nuclei:1", format="plain", weights="last")
    sent = server.requests[0]
    assert isinstance(sent, request_pb2.ExportModelRequest)
    assert (sent.network, sent.format) == ("mock", "plain")
    assert (sent.model.name, sent.model.weights) == ("nuclei:1", "last")
    assert job.id.startswith("export-nuclei-1-")


def test_a_format_that_the_network_does_not_write_is_refused(
    client: dl4mic_client.Client, server: ScriptedServer
) -> None:
    server.models["nuclei"] = model_pb2.Model(name="nuclei", version=1, network="mock")
    with pytest.raises(dl4mic_client.Refused, match="it has dl4mic, plain"):
        client.export_model("nuclei", format="fancy")


@pytest.mark.parametrize("packed", [False, True])
def test_the_network_of_a_model_of_ours_is_read_from_it(
    client: dl4mic_client.Client, server: ScriptedServer, tmp_path: Path, packed: bool
) -> None:
    folder = tmp_path / "outer" / "nuclei"
    folder.mkdir(parents=True)
    (folder / "model.json").write_text('{"network": "mock"}')
    source = shutil.make_archive(str(tmp_path / "m"), "zip", folder.parent) if packed else folder
    assert client.network_to_import(source, format="unheard-of") == "mock"
    client.import_model(source, model="again")
    sent = server.requests[0]
    assert isinstance(sent, request_pb2.ImportModelRequest)
    assert (sent.network, sent.source, sent.model) == ("mock", str(source), "again")


def test_a_model_of_others_goes_to_the_network_that_imports_it(
    far_client: dl4mic_client.Client, server: ScriptedServer, images: Path
) -> None:
    far_client.import_model(images, model="others", format="plain")
    sent = server.requests[0]
    assert isinstance(sent, request_pb2.ImportModelRequest)
    assert (sent.network, sent.format) == ("mock", "plain")
    assert server.files[sent.source + "/a.tif"] == b"pixels of a"


def test_a_network_is_asked_for_where_none_or_several_could_be_meant(
    client: dl4mic_client.Client, server: ScriptedServer, images: Path
) -> None:
    with pytest.raises(dl4mic_client.Refused, match="imports models of the format 'x'") as caught:
        client.import_model(images, model="n", format="x")
    assert caught.value.hint == "There are the formats dl4mic, plain."
    plain = network_pb2.ModelFormat(name="plain", imported=True)
    several = [network_pb2.Network(name=each, model_formats=[plain]) for each in ("a2d", "a3d")]
    with pytest.raises(dl4mic_client.Refused, match="several import") as caught:
        network_that_imports("", several)
    assert caught.value.hint.endswith("a2d, a3d.")
    assert server.requests == []


def test_a_supervision_is_left_to_the_network(
    client: dl4mic_client.Client, server: ScriptedServer, images: Path
) -> None:
    client.train("mock", source=images, target=images, model="n", axes="YX", class_names=["a"])
    data = server.requests[0].data
    assert data.supervision == data_pb2.Dataset.SUPERVISION_UNSPECIFIED
    assert (data.axes, list(data.class_names)) == ("YX", ["a"])


def test_all_public_names_are_there() -> None:
    assert {name for name in dl4mic_client.__all__ if not hasattr(dl4mic_client, name)} == set()
    assert dir(dl4mic_client) == sorted(dl4mic_client.__all__)
