# SPDX-License-Identifier: BSD-3-Clause
"""The backend over a scripted API server: launched, found again, ended; and how little it asks of the server."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dl4mic_orchestrator.backends.base import (
    ServiceSpec,
    State,
    UnavailableError,
)
from dl4mic_orchestrator.backends.kubernetes import backend as backend_module
from dl4mic_orchestrator.backends.kubernetes.client import DEPLOYMENTS, JOBS, NODES, PODS, ApiError

from .instances import SERVICE, on_gpu, settings, training, warm
from .scripted_cluster import ScriptedCluster, eventually
from .stage import Stage, backend_over


class Progress:
    def report(self, words: str) -> None:
        pass

    def check(self) -> None:
        pass


def test_an_instance_from_its_launch_to_its_end(stage: Stage) -> None:
    saved: list[State] = []
    state = stage.backend.launch(on_gpu(), saved.append)
    assert saved == [state], "it is saved before the call, and nothing is found out by it"
    assert stage.backend.probe([state])[0].waiting == "waits for the cluster"
    pod = stage.cluster.pod_of(state["name"])
    stage.cluster.unschedulable(pod, "0/1 nodes are available: 1 Insufficient nvidia.com/gpu.")
    probe = stage.await_probe(state, lambda p: "GPU" in p.waiting)
    assert probe.waiting == "no node has a GPU with 12 GiB free"
    stage.cluster.schedule(pod)
    assert stage.await_probe(state, lambda p: p.place).place == "gpu-1"
    stage.cluster.run(pod)
    probe = stage.await_probe(state, lambda p: p.address)
    assert (probe.alive, probe.address, probe.waiting) == (True, "10.1.2.3:50051", "")
    stage.cluster.end(pod, 0)
    assert stage.await_probe(state, lambda p: not p.alive).fault is None
    stage.backend.stop({**state, **probe.found}, 5.0)
    assert not [key for key in stage.cluster.objects if key[0] in ("jobs", "pods")]
    stage.backend.stop(state, 5.0)


@pytest.fixture
def telling(stage: Stage, tmp_path: Path) -> tuple[State, Path]:
    """A pod that has its node, which has not told yet that it runs; and the file in which it says where it listens."""
    state, pod = stage.launch(training(log=tmp_path / "host.log"))
    stage.cluster.schedule(pod)
    assert stage.await_probe(state, lambda p: p.place).waiting.startswith("starts on gpu-1")
    return state, tmp_path / "address.json"


def test_an_instance_is_found_by_its_own_word_before_its_node_tells(
    stage: Stage, telling: tuple[State, Path]
) -> None:
    state, file = telling
    file.write_text('{"address": "10.9.8.7:50051"}')
    probe = stage.backend.probe([state])[0]
    assert (probe.alive, probe.address, probe.waiting) == (True, "10.9.8.7:50051", "")
    assert probe.found, "what is found is kept as if its node had told"


@pytest.mark.parametrize(
    "words",
    [
        *("", "{}", "[1]", '{"address": 1}'),
        *('{"address": "10.9.8.7:22"}', '{"address": "example.org:50051"}'),
        *('{"address": "[::]:50051"}', '{"address": "0.0.0.0:50051"}'),
    ],
)
def test_what_is_no_address_of_an_instance_is_not_dialled(
    stage: Stage, telling: tuple[State, Path], words: str
) -> None:
    state, file = telling
    file.write_text(words)
    assert stage.backend.probe([state])[0].waiting.startswith("starts on gpu-1")


def test_neither_a_link_nor_a_pipe_is_read(stage: Stage, telling: tuple[State, Path]) -> None:
    state, file = telling
    elsewhere = file.with_name("elsewhere")
    elsewhere.write_text('{"address": "10.9.8.7:50051"}')
    file.symlink_to(elsewhere)
    assert stage.backend.probe([state])[0].waiting
    file.unlink()
    os.mkfifo(file)
    assert stage.backend.probe([state])[0].waiting


def test_a_job_costs_the_server_three_calls(stage: Stage) -> None:
    before = stage.cluster.calls.copy()
    for number in range(4):
        state, pod = stage.launch(training(f"t-{number}"))
        stage.cluster.run(pod)
        stage.await_probe(state, lambda p: p.address)
        for _ in range(100):
            stage.backend.probe([state])
        stage.backend.stop(state, 5.0)
    calls = stage.cluster.calls - before
    assert calls == {"create jobs": 4, "delete jobs": 4, "delete pods": 4}


def test_the_next_orchestrator_finds_what_the_last_one_launched(stage: Stage) -> None:
    state, pod = stage.launch(training())
    stage.cluster.run(pod)
    found = stage.await_probe(state, lambda p: p.address).found
    stage.backend = stage.started()
    assert stage.backend.probe([{**state, **found}])[0].address == "10.1.2.3:50051"


def test_the_next_orchestrator_is_told_that_a_pod_has_gone(stage: Stage) -> None:
    state, pod = stage.launch(training())
    stage.cluster.run(pod)
    found = stage.await_probe(state, lambda p: p.address).found
    stage.cluster.remove(PODS, pod["metadata"]["name"])
    stage.cluster.pod_of(state["name"], number=1)
    stage.backend = stage.started()
    fault = stage.backend.probe([{**state, **found}])[0].fault
    assert fault is not None and fault.code == "PREEMPTED"


def test_a_job_whose_making_was_not_answered_is_ours_all_the_same(stage: Stage) -> None:
    first = stage.backend.launch(training(), lambda _: None)
    again = stage.backend.launch(training(), lambda _: None)
    assert first == again
    assert len([key for key in stage.cluster.objects if key[0] == "jobs"]) == 1


def test_installations_in_one_namespace_may_have_jobs_of_one_id(stage: Stage) -> None:
    other = settings(labels={"app.kubernetes.io/instance": "other"})
    theirs = backend_over(stage.cluster, stage.folder, other)
    kept = theirs.launch(training(), lambda _: None)
    stage.backend.stop(stage.backend.launch(training(), lambda _: None), 0.0)
    assert [key for key in stage.cluster.objects if key[0] == "jobs"] == [("jobs", kept["name"])]


def test_a_job_of_somebody_else_is_neither_taken_for_ours_nor_away(stage: Stage) -> None:
    name = stage.backend.launch(training(), lambda _: None)["name"]
    job = stage.cluster.get(JOBS, name)
    job["metadata"]["labels"]["app.kubernetes.io/name"] = "else"
    stage.cluster.set(JOBS, job)
    saved: list[State] = []
    with pytest.raises(UnavailableError, match=f"{name} is there already, and is not ours"):
        stage.backend.launch(training(), saved.append)
    stage.backend.stop(saved[-1], 0.0)
    assert ("jobs", name) in stage.cluster.objects


def test_what_got_its_name_from_another_version_is_found_again(stage: Stage) -> None:
    state = stage.backend.launch(training(), lambda _: None)
    job = stage.cluster.get(JOBS, state["name"])
    stage.cluster.remove(JOBS, state["name"])
    before = {**state, "name": "dl4mic-as-it-was"}
    stage.cluster.set(JOBS, {**job, "metadata": {**job["metadata"], "name": before["name"]}})
    stage.cluster.run(stage.cluster.pod_of(before["name"]))
    assert stage.await_probe(before, lambda p: p.address).alive
    stage.backend.stop(before, 0.0)
    assert not [key for key in stage.cluster.objects if key[0] in ("jobs", "pods")]


def test_what_is_being_taken_away_is_not_taken_for_ours(stage: Stage) -> None:
    state = stage.backend.launch(training(), lambda _: None)
    job = stage.cluster.get(JOBS, state["name"])
    job["metadata"]["deletionTimestamp"] = "2026-11-01T12:00:00Z"
    stage.cluster.set(JOBS, job)
    with pytest.raises(UnavailableError) as error:
        stage.backend.launch(training(), lambda _: None)
    assert error.value.code == "PREEMPTED"


@pytest.mark.parametrize(
    ("status", "words", "hint"),
    [
        (403, "the cluster refuses the job: no", "The administrator"),
        (409, "the cluster does not take the job: no", "It is tried again"),
        (429, "the cluster does not take the job: no", "It is tried again"),
        (0, "the cluster does not take the job: no", "It is tried again"),
    ],
)
def test_a_job_that_the_server_does_not_take_is_tried_again(
    stage: Stage, status: int, words: str, hint: str
) -> None:
    stage.cluster.refusal = ApiError(status, "no")
    with pytest.raises(UnavailableError) as error:
        stage.backend.launch(training(), lambda _: None)
    assert (error.value.code, error.value.message) == ("ENVIRONMENT_UNAVAILABLE", words)
    assert error.value.hint.startswith(hint)


def test_a_job_whose_conflict_cannot_be_looked_into_is_tried_again(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_off(*_: object) -> None:
        raise ApiError(0, "the API server cannot be reached")

    monkeypatch.setattr(stage.cluster, "get", break_off)
    stage.cluster.refusal = ApiError(409, "there is one of this name")
    with pytest.raises(UnavailableError, match="does not take the job: the API server") as error:
        stage.backend.launch(training(), lambda _: None)
    assert error.value.code == "ENVIRONMENT_UNAVAILABLE"


def test_data_that_no_claim_holds_are_refused(stage: Stage) -> None:
    with pytest.raises(UnavailableError) as error:
        stage.backend.launch(training(reads=(Path("/srv/images"),)), lambda _: None)
    assert error.value.code == "INVALID_INPUT"


def test_a_service_without_an_image_is_named_before_it_asks_for_a_place(stage: Stage) -> None:
    with pytest.raises(UnavailableError, match="the service other"):
        stage.backend.prepare(ServiceSpec("other", Path("/o"), ("3.11",)), Progress())
    stage.backend.prepare(SERVICE, Progress())


def test_a_gpu_gets_the_image_for_it(stage: Stage) -> None:
    images = []
    for spec in (training("a"), on_gpu("b")):
        name = stage.backend.launch(spec, lambda _: None)["name"]
        job = stage.cluster.get(JOBS, name)
        images.append(job["spec"]["template"]["spec"]["containers"][0]["image"])
    assert images == ["dl4mic-segmenter:1", "dl4mic-segmenter:1-gpu"]


def test_a_job_that_somebody_deletes_is_lost_once(stage: Stage) -> None:
    state, pod = stage.launch(training())
    stage.cluster.run(pod)
    stage.await_probe(state, lambda p: p.address)
    stage.cluster.remove(JOBS, state["name"])
    stage.cluster.remove(PODS, pod["metadata"]["name"])
    probe = stage.await_probe(state, lambda p: not p.alive)
    assert probe.fault is not None and probe.fault.code == "PREEMPTED"


def test_a_node_that_vanishes_takes_its_pods_with_it(stage: Stage) -> None:
    state, pod = stage.launch(training())
    stage.cluster.run(pod)
    stage.await_probe(state, lambda p: p.address)
    stage.cluster.remove(NODES, "gpu-1")
    probe = stage.await_probe(state, lambda p: not p.alive)
    assert probe.fault is not None and probe.fault.code == "NODE_LOST"


def test_a_node_that_was_never_seen_is_not_lost(stage: Stage) -> None:
    state, pod = stage.launch(training())
    stage.cluster.run(pod, node="brand-new")
    assert stage.await_probe(state, lambda p: p.address).place == "brand-new"


def test_a_pod_whose_node_does_not_answer_is_not_waited_for(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend_module, "_KILL_SECONDS", 0.1)
    state, pod = stage.launch(training())
    stage.cluster.run(pod)
    stage.await_probe(state, lambda p: p.address)
    stage.cluster.keeps_pods = True
    stage.backend.stop(state, 0.1)
    assert ("pods", pod["metadata"]["name"]) not in stage.cluster.objects


def test_a_pod_that_has_ended_is_not_waited_for(stage: Stage) -> None:
    state, pod = stage.launch(training())
    stage.cluster.run(pod)
    stage.cluster.end(pod, 0)
    stage.await_probe(state, lambda p: not p.alive)
    stage.cluster.keeps_pods = True
    stage.backend.stop(state, 600.0)
    assert stage.cluster.calls["delete pods"] == 1


def test_pods_on_a_lost_node_are_not_waited_for(stage: Stage) -> None:
    state, pod = stage.launch(training())
    stage.cluster.run(pod)
    stage.await_probe(state, lambda p: p.address)
    stage.cluster.keeps_pods = True
    stage.cluster.node("gpu-1", ready="Unknown")
    stage.await_probe(state, lambda p: not p.alive)
    stage.backend.stop(state, 600.0)
    assert ("pods", pod["metadata"]["name"]) not in stage.cluster.objects
    assert stage.cluster.calls["delete pods"] == 2


def test_the_words_of_a_host_that_failed_are_kept(stage: Stage, tmp_path: Path) -> None:
    state, pod = stage.launch(training(log=tmp_path / "host.log"))
    stage.cluster.run(pod)
    stage.cluster.end(pod, 1)
    stage.await_probe(state, lambda p: not p.alive)
    stage.backend.stop(state, 0.0)
    assert (tmp_path / "host.log").read_text() == f"the words of {pod['metadata']['name']}"


def test_a_warm_instance_is_a_deployment(stage: Stage) -> None:
    state, pod = stage.launch(warm())
    stage.cluster.run(pod)
    assert stage.await_probe(state, lambda p: p.address).alive
    assert ("deployments", state["name"]) in stage.cluster.objects
    stage.backend.stop(state, 0.0)
    assert not [key for key in stage.cluster.objects if key[0] in ("deployments", "pods")]


def test_a_sweep_ends_what_nobody_knows_and_nothing_else(stage: Stage) -> None:
    known, _ = stage.launch(training("known"))
    lost, _ = stage.launch(training("lost"))
    old, _ = stage.launch(warm("warm-old"))
    stage.backend.sweep(lambda: {"known-1"})
    left = {name for kind, name in stage.cluster.objects if kind in ("jobs", "deployments")}
    assert left == {known["name"]} and lost["name"] not in left and old["name"] not in left


def test_what_comes_up_during_a_sweep_is_spared(stage: Stage) -> None:
    def known() -> set[str]:
        stage.backend.launch(training("new"), lambda _: None)
        return set()

    stage.backend.sweep(known)
    assert len([key for key in stage.cluster.objects if key[0] == "jobs"]) == 1


def test_nothing_is_forgotten_while_the_server_is_away(stage: Stage) -> None:
    state, pod = stage.launch(training())
    stage.cluster.run(pod)
    stage.await_probe(state, lambda p: p.address)
    stage.cluster.down = True
    stage.cluster.break_watches()
    assert stage.backend.probe([state])[0].alive
    with pytest.raises(OSError, match="cannot be reached"):
        stage.backend.stop(state, 0.0)
    stage.cluster.down = False
    stage.backend.stop(state, 0.0)
    assert ("jobs", state["name"]) not in stage.cluster.objects


def test_a_cluster_that_does_not_answer_or_tell_is_said_at_once(tmp_path: Path) -> None:
    away, closed = ScriptedCluster(), ScriptedCluster()
    away.down = True
    closed.forbidden = {JOBS}
    for cluster, words in ((away, "cannot be used"), (closed, "does not let us read jobs")):
        with pytest.raises(ConnectionError, match=words):
            backend_over(cluster, tmp_path)


def test_nodes_that_we_may_not_read_are_not_lost(tmp_path: Path) -> None:
    cluster = ScriptedCluster()
    cluster.forbidden = {NODES}
    backend = backend_over(cluster, tmp_path)
    state = backend.launch(training(), lambda _: None)
    cluster.run(cluster.pod_of(state["name"]))
    eventually(lambda: bool(backend.probe([state])[0].address))
    assert backend.capacity().gpus == ()


def test_capacity_follows_the_nodes(stage: Stage) -> None:
    assert (stage.backend.capacity().look_ahead, len(stage.backend.capacity().gpus)) == (5, 2)
    stage.cluster.node("gpu-2", gpus=4)
    eventually(lambda: len(stage.backend.capacity().gpus) == 6)


def test_many_waiting_jobs_know_their_places(stage: Stage) -> None:
    states = []
    for number in range(3):
        state, pod = stage.launch(on_gpu(f"t-{number}"))
        stage.cluster.unschedulable(pod, "0/1 nodes are available: 1 Insufficient nvidia.com/gpu.")
        states.append(state)
    stage.await_probe(states[2], lambda p: "ahead" in p.waiting)
    eventually(lambda: stage.backend.probe(states)[2].waiting.endswith("free; 2 jobs ahead"))
    assert [p.waiting.partition("; ")[2] for p in stage.backend.probe(states)] == [
        "",
        "1 job ahead",
        "2 jobs ahead",
    ]


def test_what_is_made_goes_with_its_owner(tmp_path: Path) -> None:
    cluster = ScriptedCluster()
    with pytest.raises(ConnectionError, match="owner: there is no Deployment imaging-dl4mic"):
        backend_over(cluster, tmp_path, settings(owner="imaging-dl4mic"))
    owner = cluster.set(DEPLOYMENTS, {"metadata": {"name": "imaging-dl4mic"}})
    backend = backend_over(cluster, tmp_path, settings(owner="imaging-dl4mic"))
    for spec, kind in ((training(), JOBS), (warm(), DEPLOYMENTS)):
        made = cluster.get(kind, backend.launch(spec, lambda _: None)["name"])
        (reference,) = made["metadata"]["ownerReferences"]
        assert (reference["kind"], reference["uid"]) == ("Deployment", owner["metadata"]["uid"])
