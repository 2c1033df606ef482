# SPDX-License-Identifier: BSD-3-Clause
"""The plug-in: what the author of a network writes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Mapping

from dl4mic_sdk.device import Device, cpu_kernel

if TYPE_CHECKING:
    from dl4mic_sdk.context import Context
    from dl4mic_sdk.images import Image
    from dl4mic_sdk.prediction import Prediction
    from dl4mic_sdk.task import ModelFolder, PredictTask, QcTask, TrainTask


class Network(ABC):
    """A network: three methods must be written, three may be overridden.

    `network.py` of a service folder ends with ``networks = {"name in service.yaml": Class, ...}``.
    An object serves one job (or one warm model) and lives in a process of its own.

    Attributes
    ----------
    name
        The name in `service.yaml`.
    parameters
        The parameters in force, complete; None means that the network chooses. Set before the first call.
    """

    def __init__(self, name: str, parameters: Mapping[str, Any]) -> None:
        self.name = name
        self.parameters = parameters

    @abstractmethod
    def train(self, task: TrainTask, ctx: Context) -> None:
        """Learn from `task.train` and put the weights into `task.model`. **Must be written.**

        Report through `ctx`; when `ctx.stopping` turns true, write a checkpoint and call `ctx.raise_if_stopping()`.
        """

    @abstractmethod
    def load(self, model: ModelFolder) -> None:
        """Load a model's weights, for the calls of `predict_image` that follow. **Must be written.**"""

    @abstractmethod
    def predict_image(self, image: Image) -> Prediction:
        """Apply the loaded model to one image. **Must be written.**"""

    def device_kernel(self, asked: str) -> Device:
        """Run a small real computation where the network will run, and say where that was. *May be overridden.*

        Parameters
        ----------
        asked
            ``"auto"``, ``"cpu"`` or ``"gpu"``.

        Raises
        ------
        DeviceError
            A GPU was asked for and cannot be used.
        """
        return cpu_kernel(asked)

    def predict(self, task: PredictTask, ctx: Context) -> None:
        """Apply the loaded model to a folder, reading, computing and writing at once. *May be overridden.*"""
        from dl4mic_sdk.folder_predict import predict_folder

        predict_folder(self, task.items, task.output, ctx, previous=task.previous)

    def qc(self, task: QcTask, ctx: Context) -> None:
        """Predict, score by the kind of task, and report. *May be overridden.*"""
        from dl4mic_sdk.qc.score import score

        score(self, task, ctx)
