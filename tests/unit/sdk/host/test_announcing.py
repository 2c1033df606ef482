# SPDX-License-Identifier: BSD-3-Clause
"""Where an instance listens, as it says itself: in a file that whoever started it can read."""

import json
import socket

from dl4mic_sdk.host import serve


def test_the_address_is_one_that_others_can_dial(tmp_path, monkeypatch):
    monkeypatch.setattr(socket, "gethostbyname", {socket.gethostname(): "10.9.8.7"}.get)
    serve._announce("0.0.0.0:50051", tmp_path / "address.json")
    assert json.loads((tmp_path / "address.json").read_text()) == {"address": "10.9.8.7:50051"}
    assert [each.name for each in tmp_path.iterdir()] == ["address.json"]


def test_an_address_that_only_this_machine_can_dial_is_not_written(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(socket, "gethostbyname", lambda name: "127.0.1.1")
    serve._announce("0.0.0.0:50051", tmp_path / "address.json")
    assert "stands for 127.0.1.1, which others cannot dial" in caplog.text
    assert not any(tmp_path.iterdir())


def test_any_other_address_is_written_as_it_is(tmp_path):
    serve._announce("127.77.1.2:50051", tmp_path / "address.json")
    assert json.loads((tmp_path / "address.json").read_text()) == {"address": "127.77.1.2:50051"}


def test_a_file_that_cannot_be_written_ends_nothing(tmp_path, caplog):
    serve._announce("127.77.1.2:50051", tmp_path / "nowhere" / "address.json")
    assert "cannot be written" in caplog.text
