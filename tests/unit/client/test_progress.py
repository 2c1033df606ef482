# SPDX-License-Identifier: BSD-3-Clause
"""What is shown while a job runs."""

from __future__ import annotations

import io

import pytest
from scripted_server import metric, progress, state

from dl4mic.v1 import job_pb2
from dl4mic_client.progress import Bar, Course, Lines, Silence, display
from dl4mic_client.transfer import TransferProgress


def timed(events: list[job_pb2.JobEvent], every_seconds: float = 1) -> list[job_pb2.JobEvent]:
    for number, event in enumerate(events):
        event.time.FromNanoseconds(round(1e9 * (1000 + number * every_seconds)))
    return events


def lines_of(events: list[job_pb2.JobEvent]) -> list[str]:
    lines: list[str] = []
    shown = Lines(lines.append)
    for event in events:
        shown.show(event)
    return lines


def test_rate_and_time_left_come_from_the_events() -> None:
    course = Course()
    for event in timed([progress(done, 100) for done in range(0, 11, 2)]):
        course.take(event)
    assert course.rate == pytest.approx(2.0)
    assert course.seconds_left == pytest.approx(45.0)


def test_the_time_left_that_the_job_states_counts() -> None:
    course = Course()
    for event in timed([progress(1), progress(2, seconds_left=7.0)]):
        course.take(event)
    assert course.seconds_left == 7.0


def test_a_new_attempt_begins_its_rate_anew() -> None:
    course = Course()
    for event in timed([progress(8), progress(9), progress(2), progress(3)]):
        course.take(event)
    assert course.rate == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (["memory", "prob_loss", "loss", "val_loss"], "loss 1, val_loss 1"),
        (["g_loss", "d_loss", "c_loss"], "g_loss 1, d_loss 1"),
        (["memory"], ""),
    ],
)
def test_the_losses_that_say_most_are_figures(names: list[str], shown: str) -> None:
    course = Course()
    for event in timed([metric(name, 1) for name in names]):
        course.take(event)
    assert course.figures() == shown


def test_lines_tell_why_a_job_waits_and_what_is_new() -> None:
    events = [
        state("PENDING", waiting_reason="2 jobs ahead"),
        state("PENDING", waiting_reason="2 jobs ahead"),
        state("STARTING", waiting_reason="making the environment"),
        state("RUNNING"),
        job_pb2.JobEvent(warning={"code": "few", "message": "few images"}),
        state("SUCCEEDED"),
    ]
    assert lines_of(timed(events)) == [
        "pending: 2 jobs ahead",
        "starting: making the environment",
        "running",
        "warning: few images",
        "succeeded",
    ]


def test_a_new_attempt_tells_why_the_last_one_ended() -> None:
    again = state("PENDING", waiting_reason="trying again", error={"message": "it crashed"})
    assert lines_of(timed([again])) == ["pending: trying again (it crashed)"]


def test_lines_of_progress_are_few() -> None:
    events = timed([metric("loss", 0.5), *(progress(done, 1000) for done in range(1, 1001))], 0.01)
    lines = lines_of(events)
    assert 10 <= len(lines) <= 13
    assert lines[0] == "training 1/1000 epochs, loss 0.5"
    assert lines[-1] == "training 1000/1000 epochs, loss 0.5, 100 epochs/s, 0:00 left"


def test_large_counts_are_written_out() -> None:
    assert lines_of(timed([progress(1_234_567, 24_000_000)])) == [
        "training 1234567/24000000 epochs"
    ]


def test_slow_work_is_told_now_and_then() -> None:
    assert len(lines_of(timed([progress(0, 1000), progress(1, 1000)], every_seconds=60))) == 2


def test_transfers_are_told() -> None:
    lines: list[str] = []
    shown = Lines(lines.append)
    for done in (10, 50, 100):
        shown.show_transfer(TransferProgress("sending", done, 100, "a.tif"))
    assert lines == ["sending 10 B of 100 B", "sending 100 B of 100 B"]


def test_a_terminal_gets_a_bar_and_a_file_gets_lines() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    assert isinstance(display(Terminal()), Bar)
    assert isinstance(display(io.StringIO()), Lines)
    assert isinstance(display(Terminal(), quiet=True), Silence)


def test_a_bar_shows_loss_rate_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("TERM", "xterm")
    screen = io.StringIO()
    bar = Bar(screen)
    events = [
        state("PENDING", waiting_reason="2 jobs ahead"),
        state("RUNNING"),
        metric("loss", 0.125),
        *(progress(done, failed=1) for done in range(6)),
        job_pb2.JobEvent(warning={"message": "few [images]"}),
    ]
    for event in timed(events):
        bar.show(event)
    bar.show_transfer(TransferProgress("fetching", 10, 100, "a.tif"))
    bar.close()
    drawn = screen.getvalue()
    for said in (
        "2 jobs ahead",
        "5/10 epochs",
        "loss 0.125",
        "1 epochs/s",
        "0:05 left",
        "1 failed",
    ):
        assert said in drawn
    assert "few [images]" in drawn
    assert "10 B of 100 B" in drawn
