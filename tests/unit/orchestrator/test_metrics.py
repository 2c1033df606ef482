# SPDX-License-Identifier: BSD-3-Clause
"""The metrics: counted once, bounded in their labels, absent where there is nothing to say."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from prometheus_client.samples import Sample

from dl4mic.v1.job_pb2 import Heartbeat, Job, JobError, JobEvent, Metric, Progress
from dl4mic_orchestrator import steady
from dl4mic_orchestrator.metrics import Metrics
from dl4mic_orchestrator.records import Grant, Instance, InstanceState, JobState
from dl4mic_orchestrator.store import Store, StoreAwayError
from dl4mic_orchestrator.store.database import Database


class World:
    """Metrics over a store."""

    def __init__(self, folder: Path) -> None:
        self.store = Store(folder / "s.sqlite")
        self.metrics = Metrics(self.store)

    def running(self) -> Job:
        job = Job(id="a", network="blur", project="default")
        job.train.model = "m"
        self.store.jobs.create(job)
        for state in (JobState.STARTING, JobState.RUNNING):
            self.store.jobs.change_state("a", 1, state)
        return self.store.jobs.message("a")

    def value(self, name: str) -> float:
        return sum(sample.value for sample in self._samples(name))

    def has(self, name: str) -> bool:
        return bool(self._samples(name))

    def labels(self, name: str) -> list[dict[str, str]]:
        return [sample.labels for sample in self._samples(name)]

    def _samples(self, name: str) -> list[Sample]:
        samples = [each for family in self.metrics.registry.collect() for each in family.samples]
        return [sample for sample in samples if sample.name == name]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def instance(name: str = "a-1", **more: object) -> Instance:
    """Make one that holds two GPUs for a job, and has had a place since long before the orchestrator began."""
    fields = {"job_id": "a", "attempt": 1, "project": "lab", "place": "here", **more}
    return Instance(name, "blur", "blur", InstanceState.BUSY, Grant(1, 0, (0, 1)), **fields)  # type: ignore[arg-type]


class Clock:
    """The time that passes, as a test sets it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = time.time()
        monkeypatch.setattr(steady, "now", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_signs_of_life_are_metered(world: World) -> None:
    job = world.running()
    now = time.time()
    world.metrics.event("a", "blur", JobEvent(heartbeat=Heartbeat(memory_bytes=7)))
    world.metrics._signs["a"] = now - 5
    assert world.value("dl4mic_worker_memory_bytes") == 7
    assert 5 <= world.value("dl4mic_oldest_heartbeat_seconds") < 8
    assert world.value("dl4mic_open_jobs") == 1
    world.metrics.freed(instance(create_time=now - 10), job)
    assert world.value("dl4mic_start_up_seconds_count") == 1
    assert not world.has("dl4mic_worker_gpu_memory_bytes")
    world.metrics.silent("a")
    assert world.value("dl4mic_oldest_heartbeat_seconds") == 0
    assert not world.has("dl4mic_worker_memory_bytes")


def test_gpu_seconds_grow_from_0_while_a_job_holds_its_gpus(clock: Clock, world: World) -> None:
    seconds = "dl4mic_gpu_seconds_total"
    held = instance(create_time=clock.now + 10)
    world.store.instances.add(held)
    clock.now += 20
    assert world.value(seconds) == 0
    assert world.value(seconds) == pytest.approx(2 * 10)
    clock.now += 30
    assert world.value(seconds) == pytest.approx(2 * 40)
    clock.now += 5
    world.store.instances.remove(held.id)
    assert world.value(seconds) == pytest.approx(2 * 40)
    world.metrics.freed(held, Job())
    clock.now += 5
    assert world.value(seconds) == pytest.approx(2 * 45)
    assert world.labels(seconds) == [{"project": "lab", "network": "blur"}]


def test_while_the_store_is_away_all_else_is_told(
    clock: Clock, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise StoreAwayError("the store cannot be reached")

    world.store.instances.add(instance())
    world.value("dl4mic_gpu_seconds_total")
    world.metrics.called("/dl4mic.v1.JobService/GetJob", "UNAVAILABLE", 0.01)
    clock.now += 10
    with monkeypatch.context() as broken:
        broken.setattr(Database, "read", away)
        broken.setattr(Database, "fetch", away)
        assert world.value("dl4mic_calls_total") == 1
        assert world.has("dl4mic_gpu_seconds_total")
        assert not world.has("dl4mic_oldest_pending_seconds")
    assert world.has("dl4mic_oldest_pending_seconds")
    assert world.value("dl4mic_gpu_seconds_total") == pytest.approx(2 * 10)


def test_gpu_seconds_do_not_hold_what_an_orchestrator_before_has_counted(
    clock: Clock, world: World
) -> None:
    world.store.instances.add(instance(create_time=clock.now - 3600))
    assert world.value("dl4mic_gpu_seconds_total") == 0
    clock.now += 10
    assert world.value("dl4mic_gpu_seconds_total") == pytest.approx(2 * 10)


def test_an_instance_counts_its_gpus_when_it_has_a_place_and_a_job(
    clock: Clock, world: World
) -> None:
    world.store.instances.add(instance("queued", place=""))
    world.store.instances.add(instance("warm", job_id="", project=""))
    clock.now += 10
    assert not world.has("dl4mic_gpu_seconds_total")


def test_a_gpu_is_in_use_where_an_instance_has_its_place(world: World) -> None:
    world.store.instances.add(instance("queued", place=""))
    assert not world.has("dl4mic_gpus_in_use")
    world.store.instances.add(instance())
    assert world.value("dl4mic_gpus_in_use") == 2


def test_a_clock_that_was_put_right_makes_no_start_longer(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = world.running()
    monkeypatch.setattr(steady, "_ORIGIN", steady._ORIGIN - 3600)
    world.metrics.freed(instance(create_time=steady.now() - 10), job)
    assert world.value("dl4mic_start_up_seconds_sum") == pytest.approx(10, abs=5)


def test_what_a_gpu_does_is_added_up_over_the_workers(world: World) -> None:
    for name, load in (("a", 0.2), ("b", 0.6)):
        sign = Heartbeat(memory_bytes=1, gpu_memory_bytes=5, gpu_utilisation=load)
        world.metrics.event(name, "blur", JobEvent(heartbeat=sign))
    assert world.value("dl4mic_worker_gpu_memory_bytes") == 10
    assert world.value("dl4mic_worker_gpu_utilisation_ratio") == pytest.approx(0.4)


def test_images_and_pixels_are_counted_from_where_an_attempt_takes_up(world: World) -> None:
    def report(images: float, pixels: float) -> None:
        progress = Progress(phase="predicting", done=images, total=9, unit="images")
        world.metrics.event("a", "blur", JobEvent(progress=progress))
        metric = Metric(name="pixels", value=pixels)
        world.metrics.event("a", "blur", JobEvent(metric=metric))

    for images, pixels in ((3, 0), (4, 100), (6, 300), (6, 0), (7, 50)):
        report(images, pixels)
    assert world.value("dl4mic_images_total") == 4
    assert world.value("dl4mic_pixels_total") == 350


def test_losses_are_shown_and_no_other_metric_makes_a_label(world: World) -> None:
    for name, value in (("loss", 0.5), ("val_loss", 0.7), ("mine", 3.0)):
        world.metrics.event("a", "blur", JobEvent(metric=Metric(name=name, value=value)))
    assert world.labels("dl4mic_training_loss") == [
        {"network": "blur", "set": "training"},
        {"network": "blur", "set": "validation"},
    ]


@pytest.mark.parametrize("name", ["dl4mic_gpu_seconds_total", "dl4mic_gpus_in_use"])
def test_projects_without_end_share_a_figure(world: World, name: str) -> None:
    for number in range(105):
        world.store.instances.add(instance(f"i{number}", project=f"p{number}"))
    found = {each["project"] for each in world.labels(name)}
    assert len(found) == 101 and "other" in found


def test_what_there_is_to_compute_on_is_shown(world: World) -> None:
    world.metrics.observe(list, lambda: 7, lambda: 2)
    assert not world.has("dl4mic_gpus")
    assert (world.value("dl4mic_workspace_free_bytes"), world.value("dl4mic_calls_open")) == (7, 2)


def test_networks_without_jobs_are_there_at_zero(world: World) -> None:
    metrics = Metrics(world.store, ["blur"])
    states = {
        sample.labels["state"]: sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name == "dl4mic_open_jobs"
    }
    assert states == {"PENDING": 0, "STARTING": 0, "RUNNING": 0}


def test_what_may_end_a_job_or_an_attempt_is_there_at_zero(world: World) -> None:
    world.metrics = Metrics(world.store, ["blur"])
    names = ("dl4mic_jobs_ended_total", "dl4mic_attempts_failed_total")
    before = {name: len(world.labels(name)) for name in names}
    assert all(before.values()) and [world.value(name) for name in names] == [0, 0]
    for code in (JobError.CRASHED, JobError.NODE_LOST):
        world.metrics.failed("blur", JobError(code=code))
    for state, error in (
        (Job.SUCCEEDED, None),
        (Job.CANCELLED, JobError(code=JobError.CANCELLED)),
        (Job.FAILED, JobError(code=JobError.DISK_FULL)),
    ):
        job = Job(network="blur", state=state, error=error)
        job.predict.SetInParent()
        world.metrics.ended(job)
    assert [world.value(name) for name in names] == [3, 2]
    assert {name: len(world.labels(name)) for name in names} == before


@pytest.mark.parametrize(
    "name",
    [
        "dl4mic_job_wait_seconds_count",
        "dl4mic_job_run_seconds_count",
        "dl4mic_start_up_seconds_count",
        "dl4mic_images_total",
        "dl4mic_pixels_total",
        "dl4mic_events_total",
    ],
)
def test_what_a_network_s_first_job_makes_grow_is_there_at_zero(world: World, name: str) -> None:
    world.metrics = Metrics(world.store, ["blur"])
    before = world.labels(name)
    assert before and world.value(name) == 0
    job = world.running()
    for images in (0, 4):
        progress = Progress(phase="predicting", done=images, total=9, unit="images")
        world.metrics.event("a", "blur", JobEvent(progress=progress))
        world.metrics.event("a", "blur", JobEvent(metric=Metric(name="pixels", value=images)))
    world.metrics.freed(instance(), job)
    job.state = Job.SUCCEEDED
    world.metrics.ended(job)
    assert world.value(name) > 0 and world.labels(name) == before


def test_waiting_jobs_are_counted_and_the_oldest_tells_its_age(world: World) -> None:
    assert world.value("dl4mic_oldest_pending_seconds") == 0
    job = Job(id="w", network="blur", project="default")
    job.train.model = "m"
    created = world.store.jobs.create(job).create_time.ToNanoseconds() / 1e9
    assert 0 <= world.value("dl4mic_oldest_pending_seconds") <= time.time() - created
    assert world.labels("dl4mic_open_jobs") == [{"network": "blur", "state": "PENDING"}]


def test_calls_are_counted_by_how_they_ended(world: World) -> None:
    for code in ("OK", "OK", "NOT_FOUND"):
        world.metrics.called("/dl4mic.v1.JobService/GetJob", code, 0.01)
    assert world.labels("dl4mic_calls_total") == [
        {"method": "GetJob", "code": "OK"},
        {"method": "GetJob", "code": "NOT_FOUND"},
    ]
    assert world.value("dl4mic_call_seconds_count") == 3


def test_calls_of_a_cluster_are_counted_and_absent_without_one(world: World) -> None:
    labels = {"verb": "create", "kind": "jobs", "code": "201"}
    name = "dl4mic_cluster_calls_total"
    assert world.metrics.registry.get_sample_value(name, labels) is None
    world.metrics.asked_cluster("create", "jobs", 201)
    assert world.metrics.registry.get_sample_value(name, labels) == 1


def test_the_page_names_every_metric(world: World) -> None:
    world.metrics.observe(list, lambda: 7, lambda: 2)
    families = [each for each in world.metrics.registry.collect() if each.name.startswith("dl4mic")]
    known = {f"{each.name}_total" if each.type == "counter" else each.name for each in families}
    page = (Path(__file__).resolve().parents[3] / "orchestrator" / "README.md").read_text()
    heads = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `dl4mic_")]
    assert set(re.findall(r"`(dl4mic_\w+)`", "".join(heads))) == known
