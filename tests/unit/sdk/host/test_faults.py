# SPDX-License-Identifier: BSD-3-Clause
"""Why a worker ended, told from its words, its exit status and the kernel's counters."""

from __future__ import annotations

import errno
import json
import signal

import pytest

from dl4mic_sdk.host import faults
from dl4mic_sdk.job_folder import EXIT_STOPPED


@pytest.fixture
def attempt(tmp_path):
    folder = tmp_path / "jobs" / "a" / "1"
    folder.mkdir(parents=True)
    image = tmp_path / "a.tif"
    image.write_bytes(b"pixels")
    files = [{"path": str(image), "size": 6, "mtime_ns": image.stat().st_mtime_ns}]
    (folder / "data.json").write_text(json.dumps({"summary": {"files": files}}))
    (folder / "request.json").write_text(json.dumps({"parameters": {"tile": None}}))
    (folder / "stderr.log").write_text("computing\n")
    return folder


@pytest.mark.parametrize(
    ("status", "memory_ran_out", "code", "words"),
    [
        (-signal.SIGKILL, True, "OUT_OF_MEMORY", "the kernel ended the worker"),
        (-signal.SIGKILL, False, "CRASHED", "SIGKILL from outside"),
        (-signal.SIGSEGV, True, "CRASHED", "SIGSEGV: native code failed"),
        (-signal.SIGBUS, False, "CRASHED", "SIGBUS: native code failed"),
        (-signal.SIGABRT, False, "CRASHED", "SIGABRT: native code failed"),
        (-signal.SIGTERM, False, "CRASHED", "SIGTERM from outside"),
        (-signal.SIGRTMIN - 1, False, "CRASHED", "ended by signal {}".format(signal.SIGRTMIN + 1)),
        (5, False, "OUT_OF_MEMORY", "memory ran out"),
        (6, False, "DISK_FULL", "the disk is full"),
        (7, False, "VOLUME_UNAVAILABLE", "may not be written"),
        (EXIT_STOPPED, False, "CRASHED", "asked to end from outside"),
        (0, False, "CRASHED", "ended in mid-job with status 0"),
        (1, False, "CRASHED", "ended in mid-job with status 1"),
    ],
)
def test_every_end_has_a_code_words_and_a_hint(attempt, status, memory_ran_out, code, words):
    fault = faults.of_worker(attempt, status, memory_ran_out)
    assert fault["code"] == code and words in fault["message"] and fault["hint"]
    if code == "OUT_OF_MEMORY":
        assert "tile" in fault["hint"]


def test_what_the_worker_said_itself_goes_first(attempt):
    said = {"code": "INVALID_INPUT", "message": "no images", "hint": "h"}
    (attempt / "fault.json").write_text(json.dumps(said))
    assert faults.of_worker(attempt, -signal.SIGKILL, True) == said
    (attempt / "fault.json").write_text("{")
    assert faults.of_worker(attempt, 3)["code"] == "CRASHED"


def test_an_abort_of_cpp_for_want_of_memory_is_one_of_memory(attempt):
    with (attempt / "stderr.log").open("a") as log:
        log.write("terminate called after throwing an instance of 'std::bad_alloc'\n" + "at\n" * 50)
    assert faults.of_worker(attempt, -signal.SIGABRT)["code"] == "OUT_OF_MEMORY"


def test_a_bus_error_of_a_mapped_image_that_shrank_is_the_image_s(attempt):
    (attempt.parents[2] / "a.tif").write_bytes(b"p")
    fault = faults.of_worker(attempt, -signal.SIGBUS)
    assert (fault["code"], fault["file_count"]) == ("INVALID_INPUT", 1)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OSError(errno.ENOSPC, "full"), "DISK_FULL"),
        (OSError(errno.EROFS, "read-only", "/jobs/a"), "VOLUME_UNAVAILABLE"),
        (OSError(errno.ENOENT, "no such file", "/jobs/a"), "INTERNAL"),
        (ValueError("a defect"), "INTERNAL"),
    ],
)
def test_what_the_host_cannot_do_is_named_too(error, code):
    assert faults.of_host(error)["code"] == code
