# SPDX-License-Identifier: BSD-3-Clause
"""The library's model as the shared epoch loop trains it: its losses, our patches and steps."""

from __future__ import annotations

from typing import Any, Callable, Tuple

from batches import Batch

from dl4mic_keras.framework import quiet
from dl4mic_keras.learner import KerasLearner


class CareLearner(KerasLearner[Batch]):
    """Trains a model of the library.

    Parameters
    ----------
    model
        `CARE`.
    training, validation, validation_batches
        See `KerasLearner`.
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
