# SPDX-License-Identifier: BSD-3-Clause
"""Where a store may be, and who alone may write to it."""

from __future__ import annotations

from pathlib import Path

import pytest
from postgresql import Server

from dl4mic.v1.job_pb2 import Job
from dl4mic_orchestrator.records import JobState
from dl4mic_orchestrator.store import Store, StoreAwayError, StoreBusyError
from dl4mic_orchestrator.store.engines import url_of

SECRET = "hush"


def job(job_id: str) -> Job:
    made = Job(id=job_id, network="blur", project="default")
    made.train.network = "blur"
    return made


@pytest.mark.parametrize(
    ("text", "driver"),
    [
        ("sqlite:////a/s.sqlite", "sqlite"),
        ("postgresql://u@h/d", "postgresql+psycopg"),
        ("postgresql+psycopg://u@h/d", "postgresql+psycopg"),
    ],
)
def test_places_of_a_store(text: str, driver: str) -> None:
    assert url_of(text).drivername == driver


@pytest.mark.parametrize(
    "text", ["", "s.sqlite", "sqlite:///s.sqlite", "sqlite://", f"mysql://u:{SECRET}@h/d"]
)
def test_no_places_of_a_store(text: str) -> None:
    with pytest.raises(ValueError, match="expected sqlite:////FOLDER/FILE or postgresql") as caught:
        url_of(text)
    assert SECRET not in str(caught.value)


def test_a_file_is_named_by_its_url_too(tmp_path: Path) -> None:
    Store(f"sqlite:///{tmp_path / 's.sqlite'}").close()
    assert (tmp_path / "s.sqlite").exists()


def test_one_orchestrator_works_on_a_database_at_a_time(server: Server) -> None:
    url, another = server.new_url(), server.new_url()
    first = Store(url)
    with pytest.raises(StoreBusyError, match="another orchestrator"):
        Store(url)
    Store(another).close()  # of the same server
    first.close()
    Store(url).close()


def test_work_goes_on_when_the_server_comes_back(server: Server) -> None:
    store = Store(server.new_url())
    store.jobs.create(job("a"))
    server.cut()
    assert store.jobs.get("a").state is JobState.PENDING
    store.jobs.create(job("b"))
    assert [each.id for each in store.jobs.open_jobs()] == ["a", "b"]
    store.close()


def test_a_server_that_is_away_is_no_end(server: Server) -> None:
    store = Store(server.new_url())
    store.jobs.create(job("a"))
    with server.away():
        uses = (
            lambda: store.jobs.get("a"),
            store.jobs.open_jobs,
            lambda: store.jobs.create(job("b")),
        )
        for use in uses:
            with pytest.raises(StoreAwayError, match="the store cannot be reached"):
                use()
    assert [each.id for each in store.jobs.open_jobs()] == ["a"]
    store.jobs.create(job("b"))
    store.close()


def test_who_has_lost_the_lock_writes_no_more(server: Server) -> None:
    url = server.new_url()
    store = Store(url)
    store.jobs.create(job("a"))
    server.cut()
    successor = Store(url)
    assert not store.lost.is_set()
    with pytest.raises(StoreBusyError):
        store.jobs.create(job("late"))
    assert store.lost.is_set()
    assert [each.id for each in successor.jobs.open_jobs()] == ["a"]
    successor.close()
    store.close()
