# SPDX-License-Identifier: BSD-3-Clause
"""What the worker opens: service folders and models."""

from __future__ import annotations

import pytest

from dl4mic_sdk.errors import ModelError, SdkError
from dl4mic_sdk.task import ModelFolder
from dl4mic_sdk.worker import import_network, open_network


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
