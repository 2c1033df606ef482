# SPDX-License-Identifier: BSD-3-Clause
"""TensorFlow: set up before it is imported, seeded, silenced, and tried on a device.

Import it before any library that imports TensorFlow.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
import os
import platform
import warnings
from typing import Any, Iterator, List

from dl4mic_sdk.device import Device
from dl4mic_sdk.errors import DeviceError

# Keras 2 keeps the libraries' export for Fiji working (before TensorFlow 2.16 it is the only one there is); a passive
# OpenMP leaves the cores to TensorFlow between the libraries' short parallel regions.
if importlib.util.find_spec("tf_keras"):
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import tensorflow as tf

__all__ = ["device_kernel", "quiet", "seed_everything", "tf"]

log = logging.getLogger("dl4mic.network")


def _use_the_threads_given() -> None:
    """Keep TensorFlow to the CPU slots of the job, which OMP_NUM_THREADS states for everything else."""
    threads = os.environ.get("OMP_NUM_THREADS", "")
    if threads.isdigit() and int(threads) > 0:
        tf.config.threading.set_intra_op_parallelism_threads(int(threads))
        tf.config.threading.set_inter_op_parallelism_threads(min(2, int(threads)))


_use_the_threads_given()


def seed_everything(seed: int) -> None:
    """Make a training repeatable on the same device."""
    tf.keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Send what a library prints and warns of to the log."""
    printed = io.StringIO()
    with warnings.catch_warnings(record=True) as caught, contextlib.redirect_stdout(printed):
        warnings.simplefilter("always")
        try:
            yield
        finally:
            _log_lines(printed.getvalue().splitlines() + [str(each.message) for each in caught])


def _log_lines(lines: List[str]) -> None:
    for line in lines:
        if line.strip():
            log.info("library: %s", line.strip())


def device_kernel(asked: str) -> Device:
    """Run a convolution on the asked device, check its result and say where it ran.

    Parameters
    ----------
    asked
        ``"auto"`` (a GPU if there is one), ``"cpu"`` or ``"gpu"``.

    Raises
    ------
    DeviceError
        A GPU was asked for and TensorFlow sees none, or the device computes wrongly.
    """
    gpus = tf.config.list_physical_devices("GPU")
    if asked == "gpu" and not gpus:
        raise DeviceError(
            "a GPU was asked for, but TensorFlow sees none",
            "Check the driver with nvidia-smi, or ask for --device auto.",
        )
    if asked == "cpu" or not gpus:
        tf.config.set_visible_devices([], "GPU")
        _convolve("/CPU:0")
        return Device("cpu", platform.processor() or platform.machine())
    for each in gpus:
        tf.config.experimental.set_memory_growth(each, True)
    _convolve("/GPU:0")
    return _gpu(gpus[0])


def _convolve(place: str) -> None:
    with tf.device(place):
        summed = tf.nn.conv2d(tf.ones((1, 8, 8, 4)), tf.ones((3, 3, 4, 2)), 1, "VALID")
    kind = place.strip("/").split(":")[0]
    if kind not in summed.device:
        raise DeviceError("TensorFlow computed on {} instead of the {}".format(summed.device, kind))
    if not bool(tf.reduce_all(summed == 36.0)):
        raise DeviceError(
            "the {} computed a convolution wrongly".format(kind), "Have the machine checked."
        )


def _gpu(physical: Any) -> Device:
    details = tf.config.experimental.get_device_details(physical)
    limits = [each.memory_limit for each in _local_devices() if each.device_type == "GPU"]
    return Device("gpu", details.get("device_name", "GPU"), limits[0] if limits else 0)


def _local_devices() -> List[Any]:
    from tensorflow.python.client import device_lib

    return list(device_lib.list_local_devices())
