# SPDX-License-Identifier: BSD-3-Clause
"""StarDist 2D and 3D: the library's model, loss and targets, in our own training loop."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any, Mapping, Optional, Sequence

import architecture
from batches import Batches, training_batches, validation_batches
from bioimage import export_package, import_package
from fiji import write_bundle
from formats import export_plain, import_plain
from framework import StarDist2D, StarDist3D
from large import predict_large
from learner import StarDistLearner
from objects import Objects, measure
from rois import roi_zip
from segmentation import Segmenter, compile_prediction, open_model
from thresholds import Thresholds, choose_thresholds
from untrusted import check_folder

from dl4mic_keras.framework import device_kernel, quiet, seed_everything
from dl4mic_sdk.context import Context
from dl4mic_sdk.device import Device
from dl4mic_sdk.images import Image, ImageOnDisk
from dl4mic_sdk.inheritance import first_learning_rate, warn_of_structure
from dl4mic_sdk.network import Network
from dl4mic_sdk.normalisation import Normalisation, channels_last
from dl4mic_sdk.pairs import Item
from dl4mic_sdk.patch_shape import smallest_of
from dl4mic_sdk.prediction import Prediction
from dl4mic_sdk.report_notes import MOST_EXAMPLES, left_open, note_choices, note_examples
from dl4mic_sdk.task import ModelFolder, TrainTask
from dl4mic_sdk.training import Schedule, train, weights_path

LEARNING_RATE = 0.0003
"""Of the library and of the ZeroCostDL4Mic notebooks."""

_FEWEST_STEPS = 100
"""Steps of an epoch, of the library; a few small images alone would make epochs of one step."""


class StarDist(Network):
    """What the two networks share.

    Attributes
    ----------
    dimensions
        2 or 3.
    """

    dimensions: int

    def train(self, task: TrainTask, ctx: Context) -> None:
        """Train, keep the best weights, and choose the thresholds on the validation images."""
        seed_everything(task.seed)
        config = self._configuration(task, ctx)
        model = self._new_model(config, task)
        training = training_batches(task.parameters, config, task.train, task.seed)
        learner = self._learner(model, task, training)
        schedule = self._schedule(task, config, ctx)
        note_examples(ctx.attempt_folder, training.examples(MOST_EXAMPLES))
        note_choices(ctx.attempt_folder, _choices(task.parameters, config, schedule))
        train(learner, schedule, task.model, ctx)
        learner.load_weights(weights_path(task.model, "best", learner.weights_suffix))
        self._thresholds(model, task, ctx).save(task.model)

    def load(self, model: ModelFolder) -> None:
        """Open a model with the normalisation that it was trained with."""
        check_folder(model, self.dimensions)
        opened = open_model(model, self.dimensions)
        normalisation = Normalisation.of(model.record["parameters"])
        self._segmenter = Segmenter(opened, self.parameters, normalisation)

    def predict_image(self, image: Image) -> Prediction:
        """Find the objects of an image: a label image, a table of them, and ImageJ regions of interest."""
        objects = self._segmenter.segment(image)
        tables = {}
        if self.parameters.get("object_table"):
            pixels = channels_last(image.pixels, image.axes)
            tables["objects"] = measure(objects, pixels, image.pixel_size)
        labels = replace(image, pixels=objects.labels, axes=image.axes.replace("C", ""))
        return Prediction({"labels": labels}, True, tables, self._files(objects, image))

    def predict_large(self, image: ImageOnDisk, scratch: Path) -> Optional[Prediction]:
        """Find the objects of a 2D image tile by tile, in memory that does not grow with it."""
        return predict_large(self._segmenter, self.parameters, image, scratch)

    def import_model(
        self, source: Path, format: str, model: Path, ctx: Context
    ) -> Mapping[str, Any]:
        """Take in a plain folder of the library, or its BioImage.IO package."""
        if format == "bioimageio":
            return import_package(source, self.dimensions, self.parameters, model, ctx)
        return import_plain(source, self.dimensions, self.parameters, model, ctx)

    def export_model(self, model: ModelFolder, format: str, folder: Path, ctx: Context) -> None:
        """Write a plain folder, Fiji's bundle, or a BioImage.IO package."""
        check_folder(model, self.dimensions)
        if format == "stardist":
            export_plain(model, folder)
        elif format == "fiji":
            write_bundle(open_model(model, self.dimensions), folder)
        else:
            export_package(model, self.name, folder, f"StarDist {self.dimensions}D")

    def device_kernel(self, asked: str) -> Device:
        """Run a convolution in TensorFlow."""
        return device_kernel(asked)

    def _files(self, objects: Objects, image: Image) -> Mapping[str, bytes]:
        if objects.outlines is None or not self.parameters.get("rois"):
            return {}
        present = objects.present
        names = present + image.labels_before
        return {"_rois.zip": roi_zip(objects.outlines[present - 1], names, image.position)}

    def _configuration(self, task: TrainTask, ctx: Context) -> Any:
        smallest = smallest_of(task.train, self.dimensions)
        if task.parent is None:
            extents = [task.data.object_extent.get(axis, 1.0) for axis in "ZYX"[-self.dimensions :]]
            shape = architecture.geometry(task.parameters, extents)
            patch = architecture.patch_shape(task.parameters, shape.divisor, smallest)
            rate = first_learning_rate(task, LEARNING_RATE)
            channels = _channels(task, ctx)
            return architecture.configuration(task.parameters, shape, patch, rate, channels)
        check_folder(task.parent, self.dimensions)
        config = architecture.inherited(task.parent, self.dimensions)
        overruled = architecture.differences(config, task.parameters)
        warn_of_structure(task.parent, overruled, ctx)
        patch = architecture.patch_shape(task.parameters, architecture.divisor_of(config), smallest)
        options = architecture.training_options(
            task.parameters, patch, first_learning_rate(task, LEARNING_RATE)
        )
        config.update_parameters(False, **options)
        return config

    def _new_model(self, config: Any, task: TrainTask) -> Any:
        kind = StarDist2D if self.dimensions == 2 else StarDist3D
        with quiet():
            model = kind(config, name=task.model.name, basedir=str(task.model.parent))
        if task.parent is not None:
            weights = weights_path(task.parent.path, task.parent.weights, ".h5")
            model.keras_model.load_weights(str(weights))
        return model

    def _learner(self, model: Any, task: TrainTask, training: Batches) -> StarDistLearner:
        parameters, config = task.parameters, model.config
        if not task.validation:
            return StarDistLearner(model, training, training, 0)
        smallest = smallest_of(task.validation, self.dimensions)
        limits = dict(parameters, patch_size=None, largest_patch=config.train_patch_size)
        patch = architecture.patch_shape(limits, architecture.divisor_of(config), smallest)
        validation, count = validation_batches(
            parameters, config, task.validation, task.seed, patch
        )
        return StarDistLearner(model, training, validation, count)

    def _schedule(self, task: TrainTask, config: Any, ctx: Context) -> Schedule:
        return Schedule.of(task.parameters, _steps_of(task.train, config), ctx.device)

    def _thresholds(self, model: Any, task: TrainTask, ctx: Context) -> Thresholds:
        if not task.validation or not task.parameters["optimise_thresholds"]:
            return Thresholds()
        compile_prediction(model)
        return choose_thresholds(model, task.validation, Normalisation.of(task.parameters), ctx)


def _choices(parameters: Mapping[str, Any], config: Any, schedule: Schedule) -> Mapping[str, Any]:
    """What was chosen for the parameters that were left to the network."""
    chosen = {
        "patch_size": list(config.train_patch_size),
        "steps_per_epoch": schedule.steps_per_epoch,
        "learning_rate": float(config.train_learning_rate),
        "grid": list(config.grid),
        "anisotropy": list(getattr(config, "anisotropy", None) or []),
    }
    return left_open(parameters, chosen)


class StarDist2DNetwork(StarDist):
    """Objects as star-convex polygons (Schmidt et al. 2018, doi:10.1007/978-3-030-00934-2_30)."""

    dimensions = 2


class StarDist3DNetwork(StarDist):
    """Objects as star-convex polyhedra (Weigert et al. 2020, doi:10.1109/WACV45572.2020.9093435)."""

    dimensions = 3


def _channels(task: TrainTask, ctx: Context) -> int:
    channels = task.train[0].channels
    if channels > 1:
        ctx.warning(
            "CHANNELS",
            f"the model learns from all {channels} channels of the images, and will need images with as many; "
            "channel=0 and so on would choose one",
        )
    return channels


def _steps_of(items: Sequence[Item], config: Any) -> int:
    """Return how many steps show as many pixels as the training images have."""
    patch: int = math.prod(config.train_patch_size)
    patches = sum(max(1.0, math.prod(item.shape) / patch) for item in items)
    steps: int = math.ceil(patches / config.train_batch_size)
    return max(_FEWEST_STEPS, steps)


networks = {"stardist2d": StarDist2DNetwork, "stardist3d": StarDist3DNetwork}
