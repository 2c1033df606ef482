# SPDX-License-Identifier: BSD-3-Clause
"""The worker's words for what went wrong, and the job that it does from a folder with no server."""

from __future__ import annotations

import errno
import json

import pytest

from dl4mic_sdk.errors import DataError, DeviceError, ImageError, ModelError, SdkError
from dl4mic_sdk.task import ModelFolder
from dl4mic_sdk.diagnosis import fault_of
from dl4mic_sdk.worker import import_network, open_network


class ResourceExhaustedError(Exception):
    """As a framework calls it."""


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (DataError("no images", "Choose another folder."), "INVALID_INPUT"),
        (ImageError("a.tif", "is no TIFF"), "INVALID_INPUT"),
        (ModelError("damaged"), "INVALID_INPUT"),
        (DeviceError("no GPU"), "GPU_UNUSABLE"),
        (MemoryError(), "OUT_OF_MEMORY"),
        (ResourceExhaustedError("OOM when allocating tensor"), "OUT_OF_MEMORY"),
        (OSError(errno.ENOSPC, "No space left on device"), "DISK_FULL"),
        (ValueError("a defect"), "INTERNAL"),
        (SystemExit(1), "INTERNAL"),
    ],
)
def test_every_error_has_a_code_a_message_and_a_hint(error, code):
    try:
        raise error
    except BaseException as raised:
        fault = fault_of(raised)
    assert fault["code"] == code
    assert fault["message"]
    assert "Traceback" not in fault["message"] and "\n" not in fault["message"]
    json.dumps(fault)


def test_files_at_fault_are_bounded_and_counted():
    fault = fault_of(DataError("many", files=[("{}.tif".format(n), "bad") for n in range(500)]))
    assert (len(fault["files"]), fault["file_count"]) == (100, 500)


def test_a_service_folder_without_the_network_says_so(tmp_path):
    with pytest.raises(SdkError, match=r"network\.py is missing"):
        import_network(tmp_path)
    (tmp_path / "network.py").write_text("networks = {}\n")
    request = {"service_folder": str(tmp_path), "network": "mine", "parameters": {}}
    with pytest.raises(SdkError, match="does not name mine"):
        open_network(request)


def test_a_model_of_another_network_is_refused(tmp_path):
    (tmp_path / "model.json").write_text('{"network": "other"}')
    with pytest.raises(ModelError, match="was trained by other, not by mine"):
        ModelFolder.open("nuclei:1", tmp_path, "best", "mine")


@pytest.mark.parametrize("content", ["", "[]", "{"])
def test_a_model_without_a_readable_record_is_refused(tmp_path, content):
    (tmp_path / "model.json").write_text(content)
    with pytest.raises(ModelError, match="nuclei:1"):
        ModelFolder.open("nuclei:1", tmp_path, "best", "mine")
