# SPDX-License-Identifier: BSD-3-Clause
"""CARE 2D and 3D: the library's model and losses, in our own training loop."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Mapping, Optional, Sequence, Tuple

import architecture
from architecture import Channels
from batches import Batches, percentile_ranges, training_batches, validation_batches
from bioimage import export_package, import_package
from calibration import UNCERTAINTY, check_calibration
from formats import export_bundle, export_plain, import_plain, open_model
from framework import network_of, write_configuration
from restoration import Restorer

from dl4mic_keras.framework import device_kernel, seed_everything
from dl4mic_keras.image_learner import ImageLearner
from dl4mic_keras.unet import patch_rule
from dl4mic_sdk.context import Context
from dl4mic_sdk.device import Device
from dl4mic_sdk.errors import DataError, ModelError
from dl4mic_sdk.images import Image, ImageOnDisk
from dl4mic_sdk.inheritance import first_learning_rate, keep_structure
from dl4mic_sdk.network import Network
from dl4mic_sdk.normalisation import Normalisation
from dl4mic_sdk.patch_shape import smallest_of
from dl4mic_sdk.prediction import Prediction
from dl4mic_sdk.report_notes import MOST_EXAMPLES, left_open, note_choices, note_examples
from dl4mic_sdk.task import ModelFolder, QcTask, TrainTask
from dl4mic_sdk.tiled_prediction import AnyImage
from dl4mic_sdk.training import Schedule, train

LEARNING_RATE = 0.0004
"""Of the library and of the ZeroCostDL4Mic notebooks."""


class Care(Network):
    """What the two networks share.

    Attributes
    ----------
    dimensions
        2 or 3.
    """

    dimensions: int

    def train(self, task: TrainTask, ctx: Context) -> None:
        """Train on the pairs, and keep the best and the last weights."""
        seed_everything(task.seed)
        shown = len(task.train) * task.parameters["patches_per_image"]
        steps = math.ceil(shown / task.parameters["batch_size"])
        schedule = Schedule.of(task.parameters, steps, ctx.device)
        config = self._configuration(task, schedule, ctx)
        write_configuration(config, task.model)
        patch = self._patch(task, config)
        parameters = {**task.parameters, "probabilistic": config.probabilistic}
        training = training_batches(parameters, patch, task.train, task.seed)
        learner = self._learner(self._new_model(config, task), task, training, patch)
        note_examples(ctx.attempt_folder, training.examples(MOST_EXAMPLES))
        note_choices(ctx.attempt_folder, _choices(parameters, config, patch))
        train(learner, schedule, task.model, ctx)

    def load(self, model: ModelFolder) -> None:
        """Open a model with the normalisation that it was validated with."""
        opened = open_model(model, self.dimensions)
        normalisation = Normalisation.of(model.record["parameters"])
        self._restorer = Restorer(opened, self.parameters, normalisation)

    def predict_image(self, image: Image) -> Prediction:
        """Restore an image; a probabilistic model says how sure it is of each pixel."""
        return self._prediction(self._restorer.restore(image))

    def predict_large(self, image: ImageOnDisk, scratch: Path) -> Optional[Prediction]:
        """Do the same tile by tile, in memory that does not grow with the image."""
        return self._prediction(self._restorer.restore(image, scratch))

    def qc(self, task: QcTask, ctx: Context) -> None:
        """Score the models, and check whether probabilistic ones are as sure as they say."""
        super().qc(task, ctx)
        check_calibration(task, ctx)

    def import_model(
        self, source: Path, format: str, model: Path, ctx: Context
    ) -> Mapping[str, Any]:
        """Take in a plain folder of the library, or a BioImage.IO package that dl4mic wrote."""
        if format == "bioimageio":
            return import_package(source, self.dimensions, self.parameters, model, ctx)
        return import_plain(source, self.dimensions, self.parameters, model)

    def export_model(self, model: ModelFolder, format: str, folder: Path, ctx: Context) -> None:
        """Write a plain folder of the library, Fiji's bundle, or a BioImage.IO package."""
        opened = open_model(model, self.dimensions)
        if format == "csbdeep":
            export_plain(model, opened, folder)
        elif format == "fiji":
            export_bundle(opened, folder)
        else:
            export_package(model, opened, self.name, folder)

    def device_kernel(self, asked: str) -> Device:
        """Run a convolution in TensorFlow."""
        return device_kernel(asked)

    def _prediction(self, found: Sequence[AnyImage]) -> Prediction:
        titles = ["restored"]
        if self.parameters.get("uncertainty"):
            titles.append(UNCERTAINTY)
        normalised = not self._restorer.keeps_intensities
        return Prediction(dict(zip(titles, found)), normalised=normalised)

    def _configuration(self, task: TrainTask, schedule: Schedule, ctx: Context) -> Any:
        rate, steps = first_learning_rate(task, LEARNING_RATE), schedule.steps_per_epoch
        channels = _channels(task)
        if task.parent is None:
            return architecture.configuration(
                task.parameters, self.dimensions, channels, steps, rate
            )
        config = architecture.read_configuration(task.parent.path, self.dimensions)
        _refuse_other_channels(config, channels, task.parent.name)
        names = (*architecture.STRUCTURE, "probabilistic")
        keep_structure(task.parent, config, task.parameters, names, ctx)
        _warn_of_other_percentiles(task.parent, task.parameters, ctx)
        options = architecture.training_options(task.parameters, config.probabilistic, steps, rate)
        config.update_parameters(False, **options)
        return config

    def _patch(self, task: TrainTask, config: Any) -> Tuple[int, ...]:
        smallest = smallest_of(task.train, self.dimensions)
        given, largest = task.parameters["patch_size"], task.parameters["largest_patch"]
        return patch_rule(config).shape(given, largest, smallest)

    def _new_model(self, config: Any, task: TrainTask) -> Any:
        model = network_of(config)
        if task.parent is not None:
            parent = open_model(task.parent, self.dimensions)
            model.keras_model.set_weights(parent.keras_model.get_weights())
        return model

    def _learner(
        self, model: Any, task: TrainTask, training: Batches, patch: Tuple[int, ...]
    ) -> ImageLearner:
        if not task.validation:
            return ImageLearner(model, training, training, 0)
        smallest = smallest_of(task.validation, self.dimensions)
        fitting = patch_rule(model.config).shape(None, patch, smallest)
        validation, count = validation_batches(task.parameters, fitting, task.validation, task.seed)
        return ImageLearner(model, training, validation, count)


class Care2DNetwork(Care):
    """Restores images (Weigert et al. 2018, doi:10.1038/s41592-018-0216-7)."""

    dimensions = 2


class Care3DNetwork(Care):
    """The same for stacks."""

    dimensions = 3


def _choices(parameters: Mapping[str, Any], config: Any, patch: Sequence[int]) -> Mapping[str, Any]:
    """What was chosen for the parameters that were left to the network."""
    low, high = percentile_ranges(parameters)
    chosen = {
        "patch_size": list(patch),
        "steps_per_epoch": config.train_steps_per_epoch,
        "learning_rate": float(config.train_learning_rate),
        "train_percentile_low": list(low),
        "train_percentile_high": list(high),
    }
    return left_open(parameters, chosen)


def _channels(task: TrainTask) -> Channels:
    """Count the channels of images and targets.

    Raises
    ------
    DataError
        The targets differ in it, or have several where the images have one.
    """
    source = task.train[0].channels
    targets = [each for each in task.data.files if each.role == "target"]
    counts = {dict(zip(each.axes, each.shape)).get("C", 1) for each in targets} or {1}
    if len(counts) > 1:
        said = " and ".join(map(str, sorted(counts)))
        raise DataError(f"the targets have {said} channels", "Save all with the same channels.")
    target = counts.pop()
    if target > 1 and source == 1:
        raise DataError(
            f"the targets have {target} channels, but one channel of the images is used",
            "Save the target of that channel alone.",
        )
    return Channels(source, target)


def _refuse_other_channels(config: Any, channels: Channels, parent: str) -> None:
    if (config.n_channel_in, config.n_channel_out) != (channels.source, channels.target):
        raise ModelError(
            f"model {parent} makes {config.n_channel_out} channels of {config.n_channel_in}, "
            f"the data has {channels.target} of {channels.source}",
            "Choose another model, or data of the same channels.",
        )


def _warn_of_other_percentiles(
    parent: ModelFolder, parameters: Mapping[str, Any], ctx: Context
) -> None:
    """Say that the network will see images otherwise than it has learned to: it may be the defaults that differ."""
    before, now = Normalisation.of(parent.record["parameters"]), Normalisation.of(parameters)
    if before != now:
        text = (
            "{0} was trained with the percentiles {1:g} and {2:g}, this training takes {3:g} and {4:g}: "
            "to keep those of {0}, give percentile_low={1:g} and percentile_high={2:g}"
        )
        said = text.format(parent.name, before.low, before.high, now.low, now.high)
        ctx.warning("PERCENTILES_OF_PARENT", said)


networks = {"care2d": Care2DNetwork, "care3d": Care3DNetwork}
