# SPDX-License-Identifier: BSD-3-Clause
"""The store: what is committed is what happened, once, in an order that nobody can break."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from dl4mic.v1.job_pb2 import Job, JobError, JobEvent
from dl4mic_orchestrator.records import (
    Failure,
    Grant,
    Instance,
    InstanceState,
    JobState,
    Model,
    Scores,
    may_follow,
)
from dl4mic_orchestrator.store import Store
from dl4mic_orchestrator.store.database import Database
from dl4mic_orchestrator.store.jobs import (
    Filter,
    JobExistsError,
    JobNotFoundError,
    JobStateError,
)
from dl4mic_orchestrator.store.models import ModelInUseError, ModelNotFoundError
from dl4mic_orchestrator.store.tables import metadata

Place = Path | str

CRASH = JobError(code=JobError.CRASHED, message="it crashed")


@pytest.fixture
def store(place: Place) -> Iterator[Store]:
    opened = Store(place)
    yield opened
    opened.close()


def job(job_id: str = "a", **more: object) -> Job:
    message = Job(id=job_id, network="blur", project="default", **more)  # type: ignore[arg-type]
    message.train.network = "blur"
    message.train.options.job_id = job_id
    return message


def event(sequence: int, attempt: int = 1, **kinds: object) -> JobEvent:
    made = JobEvent(sequence=sequence, attempt=attempt)
    for kind, fields in kinds.items():
        getattr(made, kind).SetInParent()
        for name, value in fields.items():  # type: ignore[attr-defined]
            setattr(getattr(made, kind), name, value)
    return made


def run(store: Store, job_id: str = "a") -> None:
    store.jobs.change_state(job_id, 1, JobState.STARTING)
    store.jobs.copy(job_id, 1, [event(3, state={"state": Job.RUNNING})])


def test_migrations_make_the_tables_that_the_code_uses(place: Place) -> None:
    database = Database(place)
    with database.read() as connection:
        found = compare_metadata(MigrationContext.configure(connection), metadata)
    assert found == []
    database.close()
    Database(place).close()  # a second time there is nothing to do


def test_sqlite_is_set_up_to_keep_what_it_was_told(tmp_path: Path) -> None:
    with Database(tmp_path / "s.sqlite").read() as connection:
        pragma = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "foreign_keys", "synchronous")
        }
    assert pragma == {"journal_mode": "wal", "foreign_keys": 1, "synchronous": 2}


def test_a_job_outlives_the_process_that_recorded_it(place: Place) -> None:
    store = Store(place)
    made = store.jobs.create(job(labels={"group": "x"}), ["b"], {"m": "m:1"})
    store.close()
    again = Store(place)
    assert again.jobs.message("a") == made
    assert again.jobs.get("a").depends_on == ("b",)
    assert again.jobs.pinned_models("a") == {"m": "m:1"}
    assert [each.state.state for each in again.jobs.events("a", 0)] == [Job.PENDING]
    again.close()


def test_the_same_request_is_the_same_job_and_another_is_refused(store: Store) -> None:
    made = store.jobs.create(job())
    assert store.jobs.create(job()) == made
    other = job()
    other.train.preset = "paper"
    with pytest.raises(JobExistsError):
        store.jobs.create(other)


def test_events_are_numbered_anew_and_copied_once(store: Store) -> None:
    store.jobs.create(job())
    run(store)
    metrics = [event(n, metric={"name": "loss", "value": 1 / n}) for n in (4, 5)]
    store.jobs.copy("a", 1, metrics)
    store.jobs.copy("a", 1, [*metrics, event(6, metric={"name": "loss", "value": 0.1})])
    events = store.jobs.events("a", 0)
    assert [each.sequence for each in events] == [1, 2, 3, 4, 5, 6]
    assert [each.metric.value for each in events[3:]] == [0.25, 0.2, 0.1]
    assert store.jobs.source_sequence("a", 1) == 6
    assert store.jobs.message("a").metrics[0].value == 0.1
    assert store.jobs.events("a", 4, limit=1)[0].sequence == 5


def test_events_of_an_attempt_that_was_overtaken_are_dropped(store: Store) -> None:
    store.jobs.create(job())
    run(store)
    store.jobs.open_attempt("a", 1, Failure(CRASH.code, 1.0), 1.0, CRASH, "trying again")
    store.jobs.copy("a", 1, [event(9, metric={"name": "loss", "value": 1.0})])
    assert not store.jobs.change_state("a", 1, JobState.SUCCEEDED)
    message = store.jobs.message("a")
    assert (message.state, message.attempt, len(message.metrics)) == (Job.PENDING, 2, 0)
    assert message.error.code == JobError.CRASHED
    assert store.jobs.failures("a") == [Failure(CRASH.code, 1.0)]


def test_progress_is_what_the_next_attempt_can_take_up(store: Store) -> None:
    store.jobs.create(job())
    run(store)
    store.jobs.copy("a", 1, [event(4, progress={"done": 5})])
    assert not store.jobs.progressed("a")
    store.jobs.copy("a", 1, [event(5, checkpoint={"step": 5})])
    assert store.jobs.progressed("a")
    store.jobs.open_attempt("a", 1, Failure(CRASH.code, 1.0, True), 1.0, CRASH, "")
    assert not store.jobs.progressed("a")


def test_why_an_attempt_failed_is_shown_while_the_next_one_waits(store: Store) -> None:
    store.jobs.create(job())
    store.jobs.open_attempt("a", 1, Failure(CRASH.code, 1.0), 1.0, CRASH, "trying again")
    store.jobs.change_state("a", 2, JobState.PENDING, waiting_reason="checking")
    message = store.jobs.message("a")
    assert (message.waiting_reason, message.error.code) == ("checking", JobError.CRASHED)


def test_a_cancelled_job_is_not_opened_again_by_itself(store: Store) -> None:
    store.jobs.create(job())
    assert store.jobs.request_cancel("a").cancel_requested
    assert not store.jobs.open_attempt("a", 1, Failure(CRASH.code, 1.0), 1.0, CRASH, "")
    assert store.jobs.message("a").attempt == 1


def test_a_job_is_opened_by_hand_when_it_has_failed(store: Store) -> None:
    store.jobs.create(job())
    with pytest.raises(JobStateError, match="PENDING"):
        store.jobs.open_by_hand("a")
    store.jobs.request_cancel("a")
    store.jobs.change_state("a", 1, JobState.CANCELLED)
    opened = store.jobs.open_by_hand("a")
    assert (opened.attempt, opened.state, opened.cancel_requested) == (2, Job.PENDING, False)
    assert not store.jobs.get("a").cancel_requested


def test_a_state_that_says_nothing_new_is_no_event(store: Store) -> None:
    store.jobs.create(job())
    for _ in range(2):
        store.jobs.change_state("a", 1, JobState.PENDING, waiting_reason="waits")
    assert store.jobs.message("a").last_sequence == 2


def test_deleting(store: Store) -> None:
    store.jobs.create(job())
    store.jobs.create(job("b"), ["a"])
    with pytest.raises(JobStateError, match="needed by job b"):
        store.jobs.delete("a")
    with pytest.raises(JobStateError, match="cancel it"):
        store.jobs.delete("b")
    for name in "ba":
        store.jobs.change_state(name, 1, JobState.FAILED)
        store.jobs.delete(name)
    with pytest.raises(JobNotFoundError):
        store.jobs.message("a")
    assert store.jobs.events("a", 0) == []


def test_lists_are_filtered_and_paged(store: Store) -> None:
    for number in range(5):
        store.jobs.create(job(f"j{number}", labels={"odd": str(number % 2)}))
    store.jobs.change_state("j3", 1, JobState.FAILED)
    page = store.jobs.newest(Filter(), None, 2)
    assert [message.id for _, message in page] == ["j4", "j3"]
    assert [m.id for _, m in store.jobs.newest(Filter(), page[-1][0], 9)] == ["j2", "j1", "j0"]
    odd = Filter(labels={"odd": "1"}, states=[Job.PENDING])
    assert [message.id for _, message in store.jobs.newest(odd, None, 9)] == ["j1"]
    assert store.jobs.newest(Filter(network="other"), None, 9) == []


def test_writers_do_not_lose_events(store: Store) -> None:
    store.jobs.create(job())
    run(store)

    def report(number: int) -> None:
        store.jobs.change_state("a", 1, JobState.RUNNING, waiting_reason=str(number))

    threads = [threading.Thread(target=report, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sequences = [each.sequence for each in store.jobs.events("a", 0)]
    assert sequences == list(range(1, 20))


@pytest.mark.parametrize("ended", [JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED])
def test_what_has_ended_stays_ended_but_for_a_retry(ended: JobState) -> None:
    following = {state for state in JobState if may_follow(state, ended)}
    assert following == (set() if ended is JobState.SUCCEEDED else {JobState.PENDING})


def test_instances_are_found_again(store: Store) -> None:
    grant = Grant(1, 5 << 32, (0,))
    instance = Instance("i", "blur", "blur", InstanceState.LAUNCHING, grant, job_id="a")
    store.instances.add(instance)
    store.instances.save_backend_state("i", {"pid": 7}, "this machine")
    store.instances.change_state("i", InstanceState.BUSY)
    (found,) = store.instances.all()
    assert (found.backend_state, found.state) == ({"pid": 7}, InstanceState.BUSY)
    assert found.grant == instance.grant
    store.instances.remove("i")
    assert store.instances.all() == []


def publish(store: Store, name: str = "m", job_id: str = "", parent: str = "") -> Model:
    model = store.models.reserve(Model(name, 0, "blur", "default", 1.0, job_id))
    if not model.complete:
        done = Model(
            name, model.version, "blur", "default", 1.0, job_id, 1, "sha256:x", parent, "{}"
        )
        store.models.complete(done)
    return store.models.find(model.tag)


def test_versions_count_up_and_are_not_given_again(store: Store) -> None:
    assert [publish(store).version for _ in range(3)] == [1, 2, 3]
    store.models.delete(store.models.find("m:3"))
    assert publish(store).version == 4
    assert store.models.find("m").version == 4


def test_a_job_publishes_one_model(store: Store) -> None:
    first = store.models.reserve(Model("m", 0, "blur", "default", 1.0, "a"))
    assert not first.complete and store.models.unfinished() == [first]
    assert publish(store, job_id="a").version == publish(store, job_id="a").version == 1
    assert store.models.unfinished() == []


def test_an_unfinished_version_is_not_found(store: Store) -> None:
    store.models.reserve(Model("m", 0, "blur", "default", 1.0, "a"))
    with pytest.raises(ModelNotFoundError, match="none yet"):
        store.models.find("m")
    publish(store)
    with pytest.raises(ModelNotFoundError, match="of that name there are m:2"):
        store.models.find("m:9")


def test_aliases_move(store: Store) -> None:
    first, second = publish(store), publish(store)
    store.models.set_alias(first, "best")
    store.models.set_alias(second, "best")
    assert store.models.find("m:best").version == 2
    assert [model.aliases for model in store.models.published()] == [("best",), ()]
    store.models.delete(second)
    with pytest.raises(ModelNotFoundError):
        store.models.find("m:best")


def test_a_parent_is_kept(store: Store) -> None:
    parent = publish(store)
    publish(store, "child", parent="m:1")
    with pytest.raises(ModelInUseError, match="child:1"):
        store.models.delete(parent)


def test_a_job_keeps_one_score_of_a_model(store: Store) -> None:
    for value in (0.5, 0.7):
        store.models.add_scores(Scores("sha256:x", "q", 1.0, {"f1": value}))
    store.models.add_scores(Scores("sha256:x", "r", 2.0, {"f1": 0.9}))
    assert [scores.values["f1"] for scores in store.models.scores("sha256:x")] == [0.9, 0.7]


def test_a_job_that_is_opened_by_hand_has_no_deadline_any_more(store: Store) -> None:
    asked = job()
    asked.train.options.deadline.FromSeconds(60)
    assert store.jobs.create(asked).HasField("deadline_time")
    store.jobs.change_state("a", 1, JobState.FAILED, error=CRASH)
    assert not store.jobs.open_by_hand("a").HasField("deadline_time")
    assert store.jobs.get("a").deadline_time is None


def test_reasons_are_written_for_those_that_wait_and_only_when_they_change(store: Store) -> None:
    for name in ("a", "b", "c"):
        store.jobs.create(job(name))
    store.jobs.change_state("b", 1, JobState.STARTING)
    for _ in range(2):
        store.jobs.explain({"a": "no place", "b": "no place", "gone": "no place"})
    assert store.jobs.message("a").waiting_reason == "no place"
    assert [len(store.jobs.events(name, 0)) for name in ("a", "b", "c")] == [2, 2, 1]


def test_events_that_come_twice_are_written_once(store: Store) -> None:
    store.jobs.create(job())
    store.jobs.change_state("a", 1, JobState.STARTING)
    twice = [
        event(1, metric={"step": 1}),
        event(1, metric={"step": 1}),
        event(2, metric={"step": 2}),
    ]
    store.jobs.copy("a", 1, twice)
    assert [each.metric.step for each in store.jobs.events("a", 2)] == [1, 2]


def test_the_states_of_very_many_jobs_are_read(store: Store) -> None:
    """SQLite takes a bounded number of values in one statement."""
    store.jobs.create(job())
    assert store.jobs.states([*(f"x{number}" for number in range(40_000)), "a"]) == {
        "a": JobState.PENDING
    }


def opened(store: Store, job_id: str, attempt: int = 1) -> float:
    """Give the moment when an attempt was opened."""
    events = store.jobs.events(job_id, 0)
    return next(e for e in events if e.attempt == attempt).time.ToNanoseconds() / 1e9


def ended(store: Store, job_id: str) -> float:
    """Let a job succeed, and give the moment."""
    for state in (JobState.STARTING, JobState.RUNNING, JobState.SUCCEEDED):
        assert store.jobs.change_state(job_id, 1, state)
    return store.jobs.message(job_id).end_time.ToNanoseconds() / 1e9


def test_who_waits_for_an_open_job_waits_for_nothing_else(store: Store) -> None:
    assert store.census.oldest_waiting() is None
    store.jobs.create(job("train"))
    store.jobs.create(job("qc"), ["train"])
    store.jobs.create(job("predict"), ["train", "deleted"])
    assert store.census.oldest_waiting() == opened(store, "train")
    store.jobs.change_state("train", 1, JobState.STARTING)
    assert store.census.oldest_waiting() is None
    end = ended(store, "train")
    assert store.census.oldest_waiting() == end
    store.jobs.create(job("other"))
    assert store.census.oldest_waiting() == end


def test_a_job_that_ran_and_waits_again_begins_to_wait_anew(store: Store) -> None:
    store.jobs.create(job("a"))
    for state in (JobState.STARTING, JobState.RUNNING):
        store.jobs.change_state("a", 1, state)
    store.jobs.copy("a", 1, [event(1, heartbeat={"memory_bytes": 1})])
    store.jobs.create(job("b"))
    lost = JobError(code=JobError.NODE_LOST, message="the node is lost")
    store.jobs.open_attempt("a", 1, Failure(lost.code, 0.0), 0.0, lost, "trying again")
    assert store.census.oldest_waiting() == opened(store, "b")
    ended(store, "b")
    assert store.census.oldest_waiting() == opened(store, "a", 2)
    for state in (JobState.STARTING, JobState.PENDING):
        store.jobs.change_state("a", 2, state, waiting_reason="starting the service anew")
    assert store.census.oldest_waiting() == opened(store, "a", 2)


def test_a_queue_is_read_to_its_end_where_its_head_only_waits_for_others(store: Store) -> None:
    store.jobs.create(job("train"))
    for number in range(101):
        store.jobs.create(job(f"qc{number}"), ["train"])
    store.jobs.create(job("last"))
    store.jobs.change_state("train", 1, JobState.STARTING)
    assert store.census.oldest_waiting() == opened(store, "last")
