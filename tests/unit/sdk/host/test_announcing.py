# SPDX-License-Identifier: BSD-3-Clause
"""Where an instance listens, as it says itself: in a file that whoever started it can read."""

import json
from ipaddress import ip_address

from dl4mic_sdk.host import serve


def test_the_address_is_one_that_others_can_dial(tmp_path):
    serve._announce("0.0.0.0:50051", tmp_path / "address.json")
    host, _, port = json.loads((tmp_path / "address.json").read_text())["address"].rpartition(":")
    assert port == "50051" and not ip_address(host).is_unspecified
    assert [each.name for each in tmp_path.iterdir()] == ["address.json"]


def test_any_other_address_is_written_as_it_is(tmp_path):
    serve._announce("127.77.1.2:50051", tmp_path / "address.json")
    assert json.loads((tmp_path / "address.json").read_text()) == {"address": "127.77.1.2:50051"}


def test_a_file_that_cannot_be_written_ends_nothing(tmp_path, caplog):
    serve._announce("127.77.1.2:50051", tmp_path / "nowhere" / "address.json")
    assert "cannot be written" in caplog.text
