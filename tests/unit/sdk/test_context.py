# SPDX-License-Identifier: BSD-3-Clause
"""What a network says and asks: checkpoints that are whole, and a stop that it sees."""

from __future__ import annotations

import pytest

from dl4mic_sdk.context import CHECKPOINTS_KEPT, Context, size_of
from dl4mic_sdk.device import Device, cpu_kernel
from dl4mic_sdk.errors import DeviceError, Stopped
from dl4mic_sdk.events import EventWriter, read_events


def context_of(folder):
    (folder / "artifacts").mkdir(parents=True)
    return Context(folder, EventWriter(folder), Device("cpu", "test"))


@pytest.fixture
def ctx(tmp_path):
    return context_of(tmp_path / "job" / "1")


def write(text):
    return lambda folder: (folder / "state.txt").write_text(text)


def kinds(ctx):
    return [
        next(key for key in event if key not in ("sequence", "time", "attempt"))
        for _, event in read_events(ctx.attempt_folder)
    ]


def test_the_newest_checkpoint_is_found(ctx):
    assert ctx.latest_checkpoint() is None
    for step in (1, 2, 10):
        ctx.checkpoint(step, write(str(step)))
    assert (ctx.latest_checkpoint() / "state.txt").read_text() == "10"
    assert len(list((ctx.attempt_folder / "checkpoints").iterdir())) == CHECKPOINTS_KEPT
    assert kinds(ctx) == ["checkpoint"] * 3


def test_a_checkpoint_that_failed_half_way_is_none(ctx):
    def fail(folder):
        write("half")(folder)
        raise OSError("disk full")

    ctx.checkpoint(1, write("whole"))
    with pytest.raises(OSError, match="disk full"):
        ctx.checkpoint(2, fail)
    assert (ctx.latest_checkpoint() / "state.txt").read_text() == "whole"


def test_a_later_attempt_finds_the_checkpoint_of_an_earlier_one(ctx):
    ctx.checkpoint(5, write("five"))
    third = context_of(ctx.attempt_folder.with_name("3"))
    assert (third.latest_checkpoint() / "state.txt").read_text() == "five"


def test_a_stop_is_seen_when_the_network_asks(ctx):
    ctx.raise_if_stopping()
    ctx.stop()
    assert ctx.stopping
    with pytest.raises(Stopped):
        ctx.raise_if_stopping()


def test_an_artifact_is_announced_with_its_size(ctx):
    (ctx.artifacts / "model").mkdir()
    (ctx.artifacts / "model" / "weights").write_bytes(b"12345")
    ctx.artifact("model", "trained model")
    (_, event) = next(iter(read_events(ctx.attempt_folder)))
    assert event["artifact"] == {
        "path": "model",
        "title": "trained model",
        "media_type": "",
        "size": 5,
    }
    assert size_of(ctx.artifacts / "model" / "weights") == 5


def test_everything_said_is_recorded(ctx):
    ctx.progress(1, 2, "epoch", "training", seconds_left=3)
    ctx.metric("loss", 0.5, 1)
    ctx.warning("few-images", "only 3")
    assert kinds(ctx) == ["progress", "metric", "warning"]


def test_the_cpu_computes_and_is_no_gpu():
    assert cpu_kernel("auto").kind == "cpu"
    with pytest.raises(DeviceError, match="CPU only"):
        cpu_kernel("gpu")
