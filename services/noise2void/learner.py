# SPDX-License-Identifier: BSD-3-Clause
"""The library's model as the shared epoch loop trains it: its loss, our patches with blind spots."""

from __future__ import annotations

from typing import Any, Callable, Tuple

from batches import Batch

from dl4mic_keras.framework import quiet
from dl4mic_keras.learner import KerasLearner


class N2VLearner(KerasLearner[Batch]):
    """Trains a model of the library.

    Parameters
    ----------
    model
        Of `library.network_of`.
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
        """Return patches with blind spots, and the values hidden there with their mask."""
        return batch.images, batch.answers
