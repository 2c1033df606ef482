# SPDX-License-Identifier: BSD-3-Clause
"""The library's model as the shared epoch loop trains it: its losses and targets, our patches and steps."""

from __future__ import annotations

from typing import Any, Callable, FrozenSet, Mapping, Tuple

import numpy as np
from stardist.matching import matching
from targets import Batch

from dl4mic_keras.framework import quiet
from dl4mic_keras.learner import KerasLearner

_MOST_CANDIDATES = 20_000
"""Per patch. An untrained network proposes an object at every pixel, which would take minutes to sort out."""

PROBABILITY, OVERLAP, IOU = 0.5, 0.4, 0.5
"""The library's default thresholds, at which validation patches are scored before thresholds are chosen."""


class StarDistLearner(KerasLearner[Batch]):
    """Trains a model of the library.

    Parameters
    ----------
    model
        `StarDist2D` or `StarDist3D`.
    training, validation, validation_batches
        See `KerasLearner`.
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
        self._counts = np.zeros(3)
        with quiet():
            model.prepare_for_training()
        super().__init__(model.keras_model, training, validation, validation_batches)

    def arrays(self, batch: Batch) -> Tuple[Any, Any]:
        """See `KerasLearner`."""
        return batch.images, (batch.probability, batch.distances)

    def validate(self) -> Mapping[str, float]:
        """Measure the library's losses and metrics, and F1 at IoU 0.5, on the validation patches."""
        self._counts = np.zeros(3)
        metrics = dict(super().validate())
        if metrics:
            matched, true, proposed = self._counts
            metrics["val_f1"] = float(2 * matched / max(1.0, true + proposed))
        return metrics

    def validated(self, batch: Batch, predicted: Any) -> None:
        """Count matched, true and predicted objects of a validation batch."""
        probability, distances = predicted
        self._counts += self._matches(batch, probability, distances)

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
