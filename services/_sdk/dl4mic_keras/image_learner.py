# SPDX-License-Identifier: BSD-3-Clause
"""A model of csbdeep, or of a library built on it, as the shared epoch loop trains it: images and their answers."""

from __future__ import annotations

from typing import Any, Callable, NamedTuple, Tuple

import numpy as np

from dl4mic_keras.framework import quiet
from dl4mic_keras.learner import KerasLearner


class Batch(NamedTuple):
    """What a step is made of.

    Attributes
    ----------
    images : ndarray of float32, shape (batch, [z,] y, x, channels)
        What the network is shown, normalised.
    answers : ndarray of float32, shape (batch, [z,] y, x, channels)
        What the loss of the library compares with the network's own.
    """

    images: np.ndarray
    answers: np.ndarray


class ImageLearner(KerasLearner[Batch]):
    """Trains a model with the loss, metrics and optimiser that its library compiles.

    Parameters
    ----------
    model
        Of the library.
    training, validation, validation_batches
        As of `KerasLearner`.
    """

    def __init__(
        self,
        model: Any,
        training: Callable[[int], Batch],
        validation: Callable[[int], Batch],
        validation_batches: int,
    ) -> None:
        with quiet():
            model.prepare_for_training()
        super().__init__(model.keras_model, training, validation, validation_batches)

    def arrays(self, batch: Batch) -> Tuple[Any, Any]:
        """See `KerasLearner`."""
        return batch.images, batch.answers
