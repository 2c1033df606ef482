# SPDX-License-Identifier: BSD-3-Clause
"""The library's model as the shared epoch loop trains it: its losses and targets, our patches and steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, FrozenSet, Mapping, Optional, Tuple

import h5py
import numpy as np
from framework import quiet, tf
from stardist.matching import matching
from targets import Batch

from dl4mic_sdk.prefetch import Prefetch
from dl4mic_sdk.training import Learner

_STATE_NAME = "optimiser.h5"
_MOST_CANDIDATES = 20_000
"""Per patch. An untrained network proposes an object at every pixel, which would take minutes to sort out."""

PROBABILITY, OVERLAP, IOU = 0.5, 0.4, 0.5
"""The library's default thresholds, at which validation patches are scored before thresholds are chosen."""


class StarDistLearner(Learner[Batch]):
    """Trains a model of the library.

    Parameters
    ----------
    model
        `StarDist2D` or `StarDist3D`.
    training
        Makes the batch of a step.
    validation
        Makes the validation batch of a number below `validation_batches`; the same one every time.
    validation_batches
        How many there are; 0 without validation images.
    """

    maximised: FrozenSet[str] = frozenset({"val_f1", "val_dist_dist_iou_metric"})

    def __init__(
        self,
        model: Any,
        training: Callable[[int], Batch],
        validation: Callable[[int], Batch],
        validation_batches: int,
    ) -> None:
        self._model = model
        self._training = training
        self._validation = validation
        self._validation_batches = validation_batches
        with quiet():
            model.prepare_for_training()
        self._keras = model.keras_model
        self._keras.optimizer.build(self._keras.trainable_variables)
        self._step = tf.function(self._learn, reduce_retracing=True)
        self._test = tf.function(self._score, reduce_retracing=True)

    def batch(self, step: int) -> Batch:
        """See `Learner`."""
        return self._training(step)

    def train_step(self, batch: Batch) -> Mapping[str, Any]:
        """Learn from one batch, all in one compiled call."""
        return {"loss": self._step(batch.images, (batch.probability, batch.distances))}

    def _learn(self, images: Any, answers: Any) -> Any:
        """One step as Keras' own `train_step`, less the metrics: they are measured in validation."""
        keras = self._keras
        with tf.GradientTape() as tape:
            predicted = keras(images, training=True)
            loss = keras.compiled_loss(answers, predicted, regularization_losses=keras.losses)
        keras.optimizer.minimize(loss, keras.trainable_variables, tape=tape)
        return loss

    def _score(self, images: Any, answers: Any) -> Any:
        keras = self._keras
        predicted = keras(images, training=False)
        keras.compiled_loss(answers, predicted, regularization_losses=keras.losses)
        keras.compiled_metrics.update_state(answers, predicted)
        return predicted

    def validate(self) -> Mapping[str, float]:
        """Measure the library's losses and metrics, and F1 at IoU 0.5, on the validation patches."""
        if not self._validation_batches:
            return {}
        self._keras.reset_metrics()
        counts = np.zeros(3)
        with Prefetch(self._validation, 0, self._validation_batches) as batches:
            for batch in batches:
                answers = (batch.probability, batch.distances)
                counts += self._matches(batch, *self._test(batch.images, answers))
        metrics = {f"val_{each.name}": float(each.result()) for each in self._keras.metrics}
        metrics["val_f1"] = float(2 * counts[0] / max(1.0, counts[1] + counts[2]))
        return metrics

    def _matches(self, batch: Batch, probability: Any, distances: Any) -> np.ndarray:
        """Count matched, true and predicted objects of a validation batch."""
        found = zip(batch.labels, probability.numpy()[..., 0], distances.numpy())
        counts = [self._matches_of_patch(*each) for each in found]
        return np.asarray(np.sum(counts, axis=0))

    def _matches_of_patch(
        self, labels: np.ndarray, probability: np.ndarray, distances: np.ndarray
    ) -> Tuple[int, int, int]:
        proposed = probability > PROBABILITY
        if np.count_nonzero(proposed) > _MOST_CANDIDATES:
            return 0, len(np.unique(labels)) - 1, int(np.count_nonzero(proposed))
        instances, _ = self._model._instances_from_prediction(
            labels.shape,
            probability,
            np.maximum(distances, 1e-3),
            prob_thresh=PROBABILITY,
            nms_thresh=OVERLAP,
        )
        result = matching(labels, instances, thresh=IOU)
        return result.tp, result.n_true, result.n_pred

    @property
    def learning_rate(self) -> float:
        """Of the Keras optimiser."""
        rate = np.float32(self._keras.optimizer.learning_rate.numpy())
        return float(str(rate))  # 0.001 rather than 0.0010000000474974513

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        self._keras.optimizer.learning_rate.assign(value)

    def save_weights(self, path: Path) -> None:
        """Write Keras' HDF5, which the library reads."""
        self._keras.save_weights(str(path), save_format="h5")

    def load_weights(self, path: Path) -> None:
        """Read Keras' HDF5."""
        self._keras.load_weights(str(path))

    def save_state(self, folder: Path) -> None:
        """Write weights, the optimiser's moments and the learning rate."""
        self.save_weights(folder / "state.h5")
        with h5py.File(folder / _STATE_NAME, "w") as file:
            for number, value in enumerate(self._keras.optimizer.variables):
                file[f"{number:05d}"] = value.numpy()
            file.attrs["learning_rate"] = self.learning_rate

    def load_state(self, folder: Path) -> None:
        """Read what `save_state` wrote."""
        self.load_weights(folder / "state.h5")
        with h5py.File(folder / _STATE_NAME, "r") as file:
            for variable, name in zip(self._keras.optimizer.variables, sorted(file)):
                variable.assign(file[name][()])
            self.learning_rate = float(file.attrs["learning_rate"])

    def device_memory_bytes(self) -> Optional[int]:
        """Most memory of the GPU that TensorFlow has held so far."""
        if not tf.config.get_visible_devices("GPU"):
            return None
        return int(tf.config.experimental.get_memory_info("GPU:0")["peak"])
