# SPDX-License-Identifier: BSD-3-Clause
"""What the author of a network imports; everything else of the SDK is its own affair."""

from dl4mic_sdk.errors import DataError, DeviceError, ImageError, ModelError, SdkError, Stopped
from dl4mic_sdk.network import Network
from dl4mic_sdk.prediction import Prediction, Table
from dl4mic_sdk.task import ModelFolder, PredictTask, QcTask, TrainTask

__all__ = [
    "DataError",
    "DeviceError",
    "ImageError",
    "ModelError",
    "ModelFolder",
    "Network",
    "PredictTask",
    "Prediction",
    "QcTask",
    "SdkError",
    "Stopped",
    "Table",
    "TrainTask",
]
