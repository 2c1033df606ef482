# SPDX-License-Identifier: BSD-3-Clause
"""What a few real steps of a training took, and what the whole of it takes if the others take as long."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import mean
from typing import TYPE_CHECKING, Optional, Tuple

if TYPE_CHECKING:
    # A worker says that it has begun before it loads numpy.
    from dl4mic_sdk.learner import Schedule

WARM_UP_STEPS = 8
"""As many as four threads make ahead, so that no batch of a timed step lay ready; frameworks compile in the first."""

ERROR = 0.4
"""Share by which a real run may be shorter or longer: the largest that was measured, 0.35, was on a machine busy with
other work, see "How good the estimate is" in docs/commands.md; 0.11 on a quiet one."""


@dataclass(frozen=True)
class Trial:
    """What a few steps took.

    Attributes
    ----------
    schedule
        Of the training that was tried.
    begun, ended
        When the first step began and the last measurement was over, by the monotonic clock.
    warm_up_seconds
        Of the first `WARM_UP_STEPS` steps, in which the framework compiles.
    steps
        That were timed after these.
    step_seconds
        Of one step, over each stretch of steps that was timed.
    validation_seconds, saving_seconds, checkpoint_seconds
        Of validating once, of writing the weights once, of writing a checkpoint once.
    device_memory_bytes
        The GPU's memory in use, where it can be told.
    """

    schedule: Schedule
    begun: float
    ended: float
    warm_up_seconds: float
    steps: int
    step_seconds: Tuple[float, ...]
    validation_seconds: float
    saving_seconds: float
    checkpoint_seconds: float
    device_memory_bytes: Optional[int]

    @property
    def seconds_per_step(self) -> float:
        """Mean over the stretches."""
        return mean(self.step_seconds)

    def estimate(self, other_seconds: float, between_checkpoints: float) -> float:
        """Estimate how long the whole training takes, in seconds.

        Parameters
        ----------
        other_seconds
            Before its first step and after its last one.
        between_checkpoints
            Shortest time between two checkpoints, seconds.

        Notes
        -----
        Every epoch is counted as the best so far, whose weights are written; early stopping is not foreseen.
        """
        schedule, step = self.schedule, self.seconds_per_step
        compiling = max(0.0, self.warm_up_seconds - WARM_UP_STEPS * step)
        epoch = schedule.steps_per_epoch * step + self.validation_seconds + self.saving_seconds
        epochs = schedule.epochs * epoch
        by_epochs = schedule.epochs // schedule.checkpoint_every
        checkpoints = 1 + min(float(by_epochs), epochs / between_checkpoints)
        return other_seconds + compiling + epochs + checkpoints * self.checkpoint_seconds
