# SPDX-License-Identifier: BSD-3-Clause
"""The plug-in: what the author of a network writes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Mapping, Optional

from dl4mic_sdk.device import Device, cpu_kernel
from dl4mic_sdk.errors import SdkError

if TYPE_CHECKING:
    from dl4mic_sdk.context import Context
    from dl4mic_sdk.images import Image, ImageOnDisk
    from dl4mic_sdk.prediction import Prediction
    from dl4mic_sdk.task import ModelFolder, PredictTask, QcTask, TrainTask


class Network(ABC):
    """A network: three methods must be written, six may be overridden.

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
        """Load a model's weights, for the calls of `predict_image` that follow. **Must be written.**

        Called again where several models, or several sets of weights of one, are compared: the model before is to be
        let go.
        """

    @abstractmethod
    def predict_image(self, image: Image) -> Prediction:
        """Apply the loaded model to one image. **Must be written.**"""

    def predict_large(self, image: ImageOnDisk, scratch: Path) -> Optional[Prediction]:
        """Apply the loaded model to a large image, reading it part by part. *May be overridden.*

        Parameters
        ----------
        image
            Of more than two million pixels; `predict_image` would be given all of it.
        scratch
            Empty folder for what is not held in memory, such as an `ArrayOnDisk` of the result. It is gone when the
            result is written.

        Returns
        -------
        Prediction or None
            None: have the image read, and call `predict_image`.
        """
        return None

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
        """Load each model, predict, score by the kind of task, rank and report. *May be overridden.*"""
        from dl4mic_sdk.qc.score import score

        score(self, task, ctx)

    def import_model(
        self, source: Path, format: str, model: Path, ctx: Context
    ) -> Mapping[str, Any]:
        """Read a model of another program. *May be overridden*, for the ``formats`` that the manifest imports.

        Parameters
        ----------
        source
            Folder of the model, unpacked; nothing in it is to be trusted, and no code in it to be run.
        format
            One of the manifest's formats.
        model
            Empty folder to put ``weights_best`` (and ``weights_last``) into, as training does. The SDK adds
            `model.json`, and loads the model to prove it.

        Returns
        -------
        Mapping
            What is known of it for `model.json`: ``parameters`` (those that `load` needs at least), and ``axes``,
            ``channels`` (how many an image must have), ``licence``, ``citations``, ... where the model states them.

        Raises
        ------
        ModelError
            It is none, or is damaged.
        """
        raise _without_formats(self.name)

    def export_model(self, model: ModelFolder, format: str, folder: Path, ctx: Context) -> None:
        """Write a model for another program. *May be overridden*, for the ``formats`` that the manifest exports.

        Parameters
        ----------
        model
            The model; its `weights` are those to export.
        format
            One of the manifest's formats.
        folder
            Empty folder to fill; it becomes a ZIP archive.
        """
        raise _without_formats(self.name)


def _without_formats(network: str) -> SdkError:
    return SdkError(
        "{} knows no formats of other programs".format(network), "Use the format dl4mic."
    )
