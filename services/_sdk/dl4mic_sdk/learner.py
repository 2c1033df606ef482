# SPDX-License-Identifier: BSD-3-Clause
"""What a network supplies to be trained, and by which rules."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, FrozenSet, Generic, Iterator, List, Mapping, Optional, Sequence, TypeVar

from dl4mic_sdk.device import Device
from dl4mic_sdk.patches import Patch
from dl4mic_sdk.report_notes import Pair

Batch = TypeVar("Batch")


class Learner(ABC, Generic[Batch]):
    """What a network supplies to be trained.

    Attributes
    ----------
    maximised
        The metrics of `validate` whose larger value is the better one; all others are losses.
    weights_suffix
        Ending of weight files.
    """

    maximised: FrozenSet[str] = frozenset()
    weights_suffix: str = ".h5"

    @abstractmethod
    def batch(self, step: int) -> Batch:
        """Make the batch of a step, counted from 0 over all epochs.

        Called ahead and from other threads. It must depend on `step` alone (and on the seed): then a training that
        goes on from a checkpoint sees the same batches in the same order.
        """

    @abstractmethod
    def train_step(self, batch: Batch) -> Mapping[str, Any]:
        """Learn from one batch; return its metrics, ``"loss"`` among them, as anything that `float` takes."""

    @abstractmethod
    def validate(self) -> Mapping[str, float]:
        """Return the metrics on the validation images by name, e.g. ``"val_loss"``; nothing if there are none."""

    @property
    @abstractmethod
    def learning_rate(self) -> float:
        """Step size of the optimiser."""

    @learning_rate.setter
    @abstractmethod
    def learning_rate(self, value: float) -> None: ...

    @abstractmethod
    def save_weights(self, path: Path) -> None:
        """Write the weights that predict."""

    @abstractmethod
    def load_weights(self, path: Path) -> None:
        """Read what `save_weights` wrote."""

    @abstractmethod
    def save_state(self, folder: Path) -> None:
        """Write all that the next step depends on: weights, optimiser, the framework's random state."""

    @abstractmethod
    def load_state(self, folder: Path) -> None:
        """Read what `save_state` wrote."""

    def examples(self, count: int) -> Sequence[Pair]:
        """Return the first patches and their targets as the network is shown them, for reports.

        Of batches that are lists of `Patch`; a learner with others overrides it, or has no pictures. Arrays are of axes
        YX or ZYX and of one shape; of several channels the first is shown.
        """
        found: List[Pair] = []
        for step in range(count):
            batch = self.batch(step)
            patches = batch if isinstance(batch, (list, tuple)) else ()
            found += [pair for each in patches for pair in _pairs(each)]
            if len(found) >= count:
                break
        return found[:count]

    def device_memory_bytes(self) -> Optional[int]:
        """Memory of the GPU in use, or None where it cannot be told."""
        return None


def _pairs(patch: Any) -> Iterator[Pair]:
    if isinstance(patch, Patch) and patch.target is not None:
        yield (patch.source[..., 0] if "C" in patch.axes else patch.source), patch.target


@dataclass(frozen=True)
class Schedule:
    """How long and by which rules to train.

    Attributes
    ----------
    epochs, steps_per_epoch
        Length of the training.
    batch_size
        Patches a step, for the rate shown.
    best_by
        Metric that chooses the best weights.
    early_stopping_patience
        Epochs without a better `best_by` after which to stop; 0 never stops.
    reduce_factor, reduce_patience, minimum_learning_rate
        The learning rate is multiplied by the factor after so many epochs without a better validation loss, as
        Keras' ReduceLROnPlateau does with ``min_delta=0``; patience 0 leaves it alone.
    checkpoint_every, keep_every, keep_limit
        In epochs; 0 keeps no weights but the best and the last.
    prefetch_threads
        Threads that make batches ahead.
    """

    epochs: int
    steps_per_epoch: int
    batch_size: int
    best_by: str = "val_loss"
    early_stopping_patience: int = 0
    reduce_factor: float = 0.5
    reduce_patience: int = 0
    minimum_learning_rate: float = 0.0
    checkpoint_every: int = 1
    keep_every: int = 0
    keep_limit: int = 20
    prefetch_threads: int = 1

    @classmethod
    def of(cls, parameters: Mapping[str, Any], steps_per_epoch: int, device: Device) -> Schedule:
        """Take it from the parameters that every network has by these names.

        Parameters
        ----------
        parameters
            Of the job.
        steps_per_epoch
            That the network chose, where the parameters leave it open.
        device
            To train on; a GPU waits for batches that one thread makes.
        """
        return cls(
            epochs=parameters["epochs"],
            steps_per_epoch=parameters["steps_per_epoch"] or steps_per_epoch,
            batch_size=parameters["batch_size"],
            best_by=parameters["best_by"],
            early_stopping_patience=parameters["early_stopping_patience"],
            reduce_factor=parameters["reduce_lr_factor"],
            reduce_patience=parameters["reduce_lr_patience"],
            checkpoint_every=parameters["checkpoint_every"],
            keep_every=parameters["keep_every"],
            keep_limit=parameters["keep_limit"],
            prefetch_threads=4 if device.kind == "gpu" else 1,
        )

    @property
    def steps(self) -> int:
        """Number of steps in all."""
        return self.epochs * self.steps_per_epoch


def weights_path(folder: Path, which: str, suffix: str) -> Path:
    """Return the path of kept weights in a model folder.

    Parameters
    ----------
    folder
        Model folder.
    which
        ``"best"``, ``"last"`` or the number of a kept epoch.
    suffix
        The network's ending of weight files.
    """
    name = "epoch_{:05d}".format(int(which)) if which.isdigit() else which
    return folder / "weights_{}{}".format(name, suffix)
