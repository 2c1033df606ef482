# SPDX-License-Identifier: BSD-3-Clause
"""Why work broke off: memory, disks, folders and inputs are told apart from defects, and the hint says what to do."""

from __future__ import annotations

import errno
import json
import os

import pytest

from dl4mic_sdk.diagnosis import fault_of
from dl4mic_sdk.errors import DataError, DeviceError, ImageError, ModelError


class ResourceExhaustedError(Exception):
    """As a framework calls it."""


class OutOfMemoryError(RuntimeError):
    """As another one does."""


class HalfMemory(OutOfMemoryError):
    """A kind of it."""


@pytest.fixture
def attempt(tmp_path):
    """The folder of an attempt whose data was checked."""
    folder = tmp_path / "jobs" / "a" / "1"
    folder.mkdir(parents=True)
    images = tmp_path / "data"
    images.mkdir()
    files = []
    for name in ("a.tif", "b.tif"):
        path = images / name
        path.write_bytes(b"pixels")
        status = os.stat(str(path))
        files.append({"path": str(path), "size": status.st_size, "mtime_ns": status.st_mtime_ns})
    request = {
        "parameters": {"epochs": 3, "batch_size": 4, "patch_size": [64, 64]},
        "data": {"source": str(images), "target": ""},
        "models": [],
    }
    (folder / "request.json").write_text(json.dumps(request))
    (folder / "data.json").write_text(json.dumps({"summary": {"files": files}}))
    return folder


def raised(error, cause=None):
    """Raise an error, from a cause, and return it."""
    try:
        raise error from cause
    except BaseException as caught:
        return caught


def disk(number, name=None):
    return OSError(number, os.strerror(number), name) if name else OSError(number, "words")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (DataError("no images", "Choose another folder."), "INVALID_INPUT"),
        (ImageError("a.tif", "is no TIFF"), "INVALID_INPUT"),
        (ModelError("damaged"), "INVALID_INPUT"),
        (DeviceError("no GPU"), "GPU_UNUSABLE"),
        (MemoryError(), "OUT_OF_MEMORY"),
        (ResourceExhaustedError("OOM when allocating tensor"), "OUT_OF_MEMORY"),
        (HalfMemory("CUDA"), "OUT_OF_MEMORY"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), "OUT_OF_MEMORY"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "OUT_OF_MEMORY"),
        (disk(errno.ENOMEM), "OUT_OF_MEMORY"),
        (disk(errno.ENOSPC), "DISK_FULL"),
        (disk(errno.EDQUOT), "DISK_FULL"),
        (OSError("1000000 requested and 262056 written"), "DISK_FULL"),
        (disk(errno.EIO, "/data/x"), "VOLUME_UNAVAILABLE"),
        (disk(errno.ESTALE), "VOLUME_UNAVAILABLE"),
        (disk(errno.EROFS, "/jobs/a/1/artifacts/x"), "VOLUME_UNAVAILABLE"),
        (disk(errno.EACCES, "/jobs/a/1/artifacts/x"), "VOLUME_UNAVAILABLE"),
        (RuntimeError("a defect"), "INTERNAL"),
        (SystemExit(1), "INTERNAL"),
        (KeyboardInterrupt(), "INTERNAL"),
    ],
)
def test_every_error_has_a_code_a_message_and_a_hint(error, code):
    fault = fault_of(raised(error))
    assert fault["code"] == code
    assert fault["message"]
    assert "Traceback" not in fault["message"] and "\n" not in fault["message"]
    json.dumps(fault)


def test_files_at_fault_are_bounded_and_counted():
    fault = fault_of(DataError("many", files=[("{}.tif".format(n), "bad") for n in range(500)]))
    assert (len(fault["files"]), fault["file_count"]) == (100, 500)


@pytest.mark.parametrize(
    ("cause", "code"),
    [
        (MemoryError(), "OUT_OF_MEMORY"),
        (disk(errno.ENOSPC), "DISK_FULL"),
        (disk(errno.EIO), "VOLUME_UNAVAILABLE"),
    ],
)
def test_what_an_error_was_raised_from_counts(cause, code):
    assert fault_of(raised(ValueError("wrapped"), cause))["code"] == code
    assert fault_of(raised(ImageError("a.tif", "cannot be read"), cause))["code"] == code


def test_an_image_that_may_not_be_read_is_the_image_s_fault():
    cause = disk(errno.EACCES, "/data/a.tif")
    fault = fault_of(raised(ImageError("/data/a.tif", "may not be read"), cause))
    assert (fault["code"], fault["message"]) == ("INVALID_INPUT", "/data/a.tif: may not be read")


def test_memory_hints_name_the_parameters_that_there_are(attempt):
    assert "Lower batch_size or patch_size;" in fault_of(MemoryError(), attempt)["hint"]
    assert "smaller images" in fault_of(MemoryError())["hint"]


def test_inputs_that_are_not_what_they_were_are_named(attempt, tmp_path):
    defect = raised(ValueError("shapes differ"))
    assert fault_of(defect, attempt)["code"] == "INTERNAL"
    (tmp_path / "data" / "a.tif").unlink()
    (tmp_path / "data" / "b.tif").write_bytes(b"other pixels")
    fault = fault_of(defect, attempt)
    assert (fault["code"], fault["file_count"]) == ("INVALID_INPUT", 2)
    said = {each["path"].rpartition("/")[2]: each["message"] for each in fault["files"]}
    assert said == {
        "a.tif": "was deleted while the job ran",
        "b.tif": "was changed while the job ran",
    }
    named = DataError("2 images are damaged", "Save them again.")
    assert fault_of(named, attempt)["message"] == "2 images are damaged"


def test_a_folder_that_is_gone_may_come_back(attempt, tmp_path):
    (tmp_path / "data").rename(tmp_path / "away")
    fault = fault_of(raised(ImageError("a.tif", "there is no such file")), attempt)
    assert fault["code"] == "VOLUME_UNAVAILABLE" and str(tmp_path / "data") in fault["message"]


def test_what_another_job_made_does_not_come_back_by_itself(attempt):
    request = json.loads((attempt / "request.json").read_text())
    request["data"]["source"] = str(attempt.parents[1] / "other" / "artifacts" / "predictions")
    (attempt / "request.json").write_text(json.dumps(request))
    fault = fault_of(raised(FileNotFoundError("predictions")), attempt)
    assert fault["code"] == "DEPENDENCY_FAILED"


def test_a_model_that_is_gone_is_named(attempt):
    request = json.loads((attempt / "request.json").read_text())
    request["models"] = [{"name": "nuclei:3", "folder": str(attempt / "gone")}]
    (attempt / "request.json").write_text(json.dumps(request))
    fault = fault_of(raised(FileNotFoundError("weights")), attempt)
    assert fault["code"] == "INVALID_INPUT" and "nuclei:3" in fault["message"]


def test_a_request_that_cannot_be_read_does_not_hide_the_fault(tmp_path):
    attempt = tmp_path / "a" / "1"
    attempt.mkdir(parents=True)
    (attempt / "request.json").write_text("{")
    assert fault_of(raised(ValueError("x")), attempt)["code"] == "INTERNAL"
