# SPDX-License-Identifier: BSD-3-Clause
"""Noise2Void 2D and 3D: the library's model, blind spots and loss, in our own training loop."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Mapping, Tuple

import architecture
from batches import Batches, patches_in, training_batches, validation_batches
from bioimage import export_package, import_package
from denoising import Denoiser
from formats import export_bundle, export_plain, import_plain, open_model, read_configuration
from intensities import measure
from library import network_of, write_configuration
from settling import warn_if_too_short

from dl4mic_keras.framework import device_kernel, seed_everything
from dl4mic_keras.image_learner import ImageLearner
from dl4mic_keras.unet import depth_rule, patch_rule
from dl4mic_sdk.context import Context
from dl4mic_sdk.device import Device
from dl4mic_sdk.images import Image, ImageOnDisk
from dl4mic_sdk.inheritance import first_learning_rate, keep_structure
from dl4mic_sdk.network import Network
from dl4mic_sdk.patch_shape import smallest_of
from dl4mic_sdk.planes import predict_planes
from dl4mic_sdk.prediction import Prediction
from dl4mic_sdk.report_notes import MOST_EXAMPLES, left_open, note_choices, note_examples
from dl4mic_sdk.task import ModelFolder, TrainTask
from dl4mic_sdk.training import Schedule, train

LEARNING_RATE = 0.0004
"""Of the library and of the ZeroCostDL4Mic notebooks."""

_FEWEST_STEPS = 100
"""Steps of an epoch: a few small images alone would make epochs of one step."""


class Noise2Void(Network):
    """What the two networks share.

    Attributes
    ----------
    dimensions
        2 or 3.
    """

    dimensions: int

    def train(self, task: TrainTask, ctx: Context) -> None:
        """Train on the noisy images alone, and keep the best and the last weights."""
        seed_everything(task.seed)
        schedule, config = self._plan(task, ctx)
        write_configuration(config, task.model)
        training = training_batches(task.parameters, config, task.train, task.seed)
        learner = self._learner(self._new_model(config, task), task, training)
        note_examples(ctx.attempt_folder, training.examples(MOST_EXAMPLES))
        note_choices(ctx.attempt_folder, _choices(task.parameters, config))
        rows = train(learner, schedule, task.model, ctx)
        warn_if_too_short(rows, schedule, config, task.parent is not None, ctx)

    def load(self, model: ModelFolder) -> None:
        """Open a model, with the intensities that it was trained on."""
        self._denoiser = Denoiser(open_model(model, self.dimensions), self.parameters)

    def predict_image(self, image: Image) -> Prediction:
        """Denoise an image, in its own intensities."""
        if "T" in image.axes:
            return Prediction({"denoised": self._denoiser.denoise_series(image)})
        return Prediction({"denoised": self._denoiser.denoise(image)})

    def predict_large(self, image: ImageOnDisk, scratch: Path) -> Prediction:
        """Denoise an image tile by tile, a series frame by frame, in memory that does not grow with it."""
        if "T" in image.axes:
            return predict_planes(image, "T", self.predict_large, scratch)
        return Prediction({"denoised": self._denoiser.denoise(image, scratch)})

    def import_model(
        self, source: Path, format: str, model: Path, ctx: Context
    ) -> Mapping[str, Any]:
        """Take in a plain folder of the library, or a BioImage.IO package that dl4mic wrote."""
        if format == "bioimageio":
            return import_package(source, self.dimensions, model)
        return import_plain(source, self.dimensions, model)

    def export_model(self, model: ModelFolder, format: str, folder: Path, ctx: Context) -> None:
        """Write a plain folder of the library, Fiji's bundle, or a BioImage.IO package."""
        opened = open_model(model, self.dimensions)
        if format == "n2v":
            export_plain(model, opened, folder)
        elif format == "fiji":
            export_bundle(opened, folder)
        else:
            export_package(model, opened, self.name, folder)

    def device_kernel(self, asked: str) -> Device:
        """Run a convolution in TensorFlow."""
        return device_kernel(asked)

    def _plan(self, task: TrainTask, ctx: Context) -> Tuple[Schedule, Any]:
        """Choose what is left to the network: patches, steps, learning rate; the structure is a parent's."""
        parameters, rate = task.parameters, first_learning_rate(task, LEARNING_RATE)
        intensities = measure(task.train)
        parent = None if task.parent is None else self._inherited(task.parent, task, ctx)
        depth = parent.unet_n_depth if parent else parameters["unet_n_depth"]
        rule = depth_rule(depth, self.dimensions)
        largest, smallest = architecture.LARGEST_PATCH, smallest_of(task.train, self.dimensions)
        patch = rule.shape(parameters["patch_size"], largest[self.dimensions], smallest)
        shown = math.ceil(patches_in(task.train, patch) / parameters["batch_size"])
        schedule = Schedule.of(parameters, max(_FEWEST_STEPS, shown), ctx.device)
        steps = schedule.steps_per_epoch
        if parent is None:
            made = architecture.configuration(parameters, patch, steps, rate, intensities)
            return schedule, made
        options = architecture.training_options(parameters, patch, steps, rate, intensities)
        parent.update_parameters(False, **options)
        return schedule, parent

    def _inherited(self, parent: ModelFolder, task: TrainTask, ctx: Context) -> Any:
        config = read_configuration(parent.path, self.dimensions)
        keep_structure(parent, config, task.parameters, architecture.STRUCTURE, ctx)
        return config

    def _new_model(self, config: Any, task: TrainTask) -> Any:
        model = network_of(config)
        if task.parent is not None:
            parent = open_model(task.parent, self.dimensions)
            model.keras_model.set_weights(parent.keras_model.get_weights())
        return model

    def _learner(self, model: Any, task: TrainTask, training: Batches) -> ImageLearner:
        parameters, config = task.parameters, model.config
        if not task.validation:
            return ImageLearner(model, training, training, 0)
        rule = patch_rule(config)
        smallest = smallest_of(task.validation, self.dimensions)
        patch = rule.shape(None, config.n2v_patch_shape, smallest)
        validation, count = validation_batches(
            parameters, config, task.validation, task.seed, patch
        )
        return ImageLearner(model, training, validation, count)


class N2V2DNetwork(Noise2Void):
    """Denoises images from nothing but noisy images (Krull et al. 2019, doi:10.1109/CVPR.2019.00223)."""

    dimensions = 2


class N2V3DNetwork(Noise2Void):
    """The same for stacks."""

    dimensions = 3


def _choices(parameters: Mapping[str, Any], config: Any) -> Mapping[str, Any]:
    """What was chosen for the parameters that were left to the network."""
    chosen = {
        "patch_size": list(config.n2v_patch_shape),
        "steps_per_epoch": config.train_steps_per_epoch,
        "learning_rate": float(config.train_learning_rate),
    }
    return left_open(parameters, chosen)


networks = {"n2v2d": N2V2DNetwork, "n2v3d": N2V3DNetwork}
