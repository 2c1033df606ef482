# SPDX-License-Identifier: BSD-3-Clause
"""A compiled model of Keras 2 as the shared epoch loop trains it: its loss and optimiser, our batches and steps."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Any, Callable, Mapping, Optional, Tuple

import h5py
import numpy as np

from dl4mic_keras.framework import tf
from dl4mic_sdk.learner import Batch, Learner
from dl4mic_sdk.prefetch import Prefetch

_WEIGHTS_NAME = "state.h5"
_OPTIMISER_NAME = "optimiser.h5"


class KerasLearner(Learner[Batch]):
    """Trains a model of Keras, one compiled call a step.

    Parameters
    ----------
    keras
        Compiled with loss, metrics and optimiser.
    training
        Makes the batch of a step.
    validation
        Makes the validation batch of a number below `validation_batches`; the same one every time.
    validation_batches
        How many there are; 0 without validation images.
    """

    def __init__(
        self,
        keras: Any,
        training: Callable[[int], Batch],
        validation: Callable[[int], Batch],
        validation_batches: int,
    ) -> None:
        self.keras = keras
        self._training = training
        self._validation = validation
        self._validation_batches = validation_batches
        keras.optimizer.build(keras.trainable_variables)
        # Nothing here branches on tensors, and the libraries' losses are lambdas, which AutoGraph cannot read.
        self._step = tf.function(self._learn, autograph=False, reduce_retracing=True)
        self._test = tf.function(self._score, autograph=False, reduce_retracing=True)

    @abstractmethod
    def arrays(self, batch: Batch) -> Tuple[Any, Any]:
        """Return what the model takes of a batch, and what its loss compares with its answer."""

    def validated(self, batch: Batch, predicted: Any) -> None:
        """Look at the model's answer to a validation batch, where a network has metrics beside those of Keras."""

    def batch(self, step: int) -> Batch:
        """See `Learner`."""
        return self._training(step)

    def train_step(self, batch: Batch) -> Mapping[str, Any]:
        """Learn from one batch, all in one compiled call."""
        return {"loss": self._step(*self.arrays(batch))}

    def _learn(self, images: Any, answers: Any) -> Any:
        """One step as Keras' own `train_step`, less the metrics: they are measured in validation."""
        keras = self.keras
        with tf.GradientTape() as tape:
            predicted = keras(images, training=True)
            loss = keras.compiled_loss(answers, predicted, regularization_losses=keras.losses)
        keras.optimizer.minimize(loss, keras.trainable_variables, tape=tape)
        return loss

    def _score(self, images: Any, answers: Any) -> Any:
        keras = self.keras
        predicted = keras(images, training=False)
        keras.compiled_loss(answers, predicted, regularization_losses=keras.losses)
        keras.compiled_metrics.update_state(answers, predicted)
        return predicted

    def validate(self) -> Mapping[str, float]:
        """Measure the model's loss and metrics on the validation batches."""
        if not self._validation_batches:
            return {}
        self.keras.reset_metrics()
        with Prefetch(self._validation, 0, self._validation_batches) as batches:
            for batch in batches:
                self.validated(batch, self._test(*self.arrays(batch)))
        return {"val_" + each.name: float(each.result()) for each in self.keras.metrics}

    @property
    def learning_rate(self) -> float:
        """Of the Keras optimiser."""
        rate = np.float32(self.keras.optimizer.learning_rate.numpy())
        return float(str(rate))  # 0.001 rather than 0.0010000000474974513

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        self.keras.optimizer.learning_rate.assign(value)

    def save_weights(self, path: Path) -> None:
        """Write Keras' HDF5, which the libraries read."""
        self.keras.save_weights(str(path), save_format="h5")

    def load_weights(self, path: Path) -> None:
        """Read Keras' HDF5."""
        self.keras.load_weights(str(path))

    def save_state(self, folder: Path) -> None:
        """Write weights, the optimiser's moments and the learning rate."""
        self.save_weights(folder / _WEIGHTS_NAME)
        with h5py.File(folder / _OPTIMISER_NAME, "w") as file:
            for number, value in enumerate(self.keras.optimizer.variables):
                file["{:05d}".format(number)] = value.numpy()
            file.attrs["learning_rate"] = self.learning_rate

    def load_state(self, folder: Path) -> None:
        """Read what `save_state` wrote."""
        self.load_weights(folder / _WEIGHTS_NAME)
        with h5py.File(folder / _OPTIMISER_NAME, "r") as file:
            for variable, name in zip(self.keras.optimizer.variables, sorted(file)):
                variable.assign(file[name][()])
            self.learning_rate = float(file.attrs["learning_rate"])

    def device_memory_bytes(self) -> Optional[int]:
        """Most memory of the GPU that TensorFlow has held so far."""
        if not tf.config.get_visible_devices("GPU"):
            return None
        return int(tf.config.experimental.get_memory_info("GPU:0")["peak"])
