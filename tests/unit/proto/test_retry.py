# SPDX-License-Identifier: BSD-3-Clause
"""The retry table of the contract, row by row."""

from __future__ import annotations

from datetime import timedelta

import pytest

from dl4mic.retry import Failure, pause_before_retry
from dl4mic.v1.job_pb2 import JobError

AT_ONCE = timedelta(0)


MENDED_BY_HAND = [
    "INVALID_INPUT",
    "DEPENDENCY_FAILED",
    "DEADLINE",
    "CANCELLED",
    "OUT_OF_MEMORY",
    "DISK_FULL",
]


@pytest.mark.parametrize("code", MENDED_BY_HAND)
def test_what_a_person_must_mend_is_not_tried_again(code):
    assert pause_before_retry([Failure(JobError.Code.Value(code), progressed=True)]) is None


@pytest.mark.parametrize("code", [JobError.NODE_LOST, JobError.PREEMPTED])
def test_a_lost_place_is_tried_again_without_limit(code):
    assert pause_before_retry([Failure(code)] * 100) == AT_ONCE


@pytest.mark.parametrize("code", [JobError.CRASHED, JobError.UNRESPONSIVE, JobError.INTERNAL])
def test_a_crash_is_tried_again_once_then_only_after_progress_and_three_times_in_all(code):
    assert pause_before_retry([Failure(code)]) == AT_ONCE
    assert pause_before_retry([Failure(code), Failure(code)]) is None
    assert pause_before_retry([Failure(code), Failure(code, progressed=True)]) == AT_ONCE
    assert (
        pause_before_retry([Failure(code, True), Failure(code, True), Failure(code, True)]) is None
    )


def test_lost_places_between_crashes_do_not_count():
    failures = [
        Failure(JobError.CRASHED),
        Failure(JobError.NODE_LOST),
        Failure(JobError.CRASHED, True),
    ]
    assert pause_before_retry(failures) == AT_ONCE


def test_what_comes_back_is_waited_for_with_growing_pauses_for_a_day():
    failures = [Failure(JobError.GPU_UNUSABLE)]
    pauses = [pause_before_retry(failures * count) for count in (1, 2, 3, 20)]
    assert [each.total_seconds() for each in pauses] == [10, 20, 40, 600]
    assert pause_before_retry(failures, waited=timedelta(hours=24)) is None
