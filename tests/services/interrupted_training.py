# SPDX-License-Identifier: BSD-3-Clause
"""Trainings that are repeated, or stopped and resumed: what every service with weights of Keras must hold."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from service_jobs import Job

from dl4mic_sdk.job_folder import EXIT_DONE, EXIT_STOPPED
from dl4mic_sdk.training import read_history


def weights_of(path: Path) -> list[np.ndarray]:
    """Read the arrays of a file of weights, in the order of the layers: their names count on from model to model."""
    with h5py.File(path) as file:
        layers = [file[name] for name in file.attrs["layer_names"]]
        return [layer[name][()] for layer in layers for name in layer.attrs["weight_names"]]


def assert_repeated(again: Job, undisturbed: Job, other_seed: Job) -> None:
    """Hold that a seed repeats a training to the bit, and another one does not."""
    for ours, theirs in zip(
        weights_of(again.model / "weights_last.h5"),
        weights_of(undisturbed.model / "weights_last.h5"),
        strict=True,
    ):
        np.testing.assert_array_equal(ours, theirs)
    losses = [read_history(job.model)[-1]["loss"] for job in (undisturbed, other_seed)]
    assert losses[0] != losses[1]


def stopped_and_resumed(job: Job) -> Job:
    """Terminate a training behind its first checkpoint; return the attempt that went on from it."""
    process = job.start()
    _wait_for_checkpoint(job, process)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == EXIT_STOPPED, job.end_of_log()
    resumed = job.again()
    assert resumed.start().wait(120) == EXIT_DONE, resumed.end_of_log()
    assert resumed.events("metric")[0]["step"] > 0
    return resumed


def assert_same_training(one: Job, other: Job) -> None:
    """Hold that two trainings of the same parameters, which keep epoch 3, ended alike."""
    for name in ("weights_best.h5", "weights_last.h5", "weights_epoch_00003.h5"):
        ours, theirs = weights_of(one.model / name), weights_of(other.model / name)
        for mine, its in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(mine, its, rtol=1e-4, atol=1e-5)
    losses = [[row["loss"] for row in read_history(job.model)] for job in (one, other)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert len(losses[0]) == one.request["parameters"]["epochs"]


def _wait_for_checkpoint(job: Job, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while not job.events("checkpoint"):
        assert process.poll() is None, job.end_of_log()
        assert time.monotonic() < deadline, "no checkpoint came"
        time.sleep(0.05)
