# SPDX-License-Identifier: BSD-3-Clause
"""Says when a training was too short, after which Noise2Void makes images worse than they were."""

from __future__ import annotations

import math
from typing import Any, Iterator, Sequence, Tuple

from dl4mic_sdk.context import Context
from dl4mic_sdk.report_notes import note_warning
from dl4mic_sdk.training import Row, Schedule

MOMENTUM = 0.99
"""Of Keras' batch normalisation, which the library takes as it is: what a step leaves of the averages before it."""

_LARGEST_SHARE = 0.02
"""Of the averages that may still be those of the untrained network; 20 steps leave 82 %, 200 leave 13 %."""

_FALLING = 0.98
"""The mean loss of the last third of the epochs, as a share of that of the third before, below which it still falls."""


def warn_if_too_short(
    rows: Sequence[Row], schedule: Schedule, config: Any, from_parent: bool, ctx: Context
) -> None:
    """Warn, in the job and in its training report.

    Parameters
    ----------
    rows
        The loss record; empty in a dry run, which is not warned of.
    schedule
        Of the training.
    config
        Of the model.
    from_parent
        The training started from a model, whose averages were settled.
    ctx
        Gets the warnings.
    """
    if not rows:
        return
    steps = len(rows) * schedule.steps_per_epoch
    settled = from_parent or not config.batch_norm
    for code, message in [*_of_averages(0 if settled else steps), *_of_loss(rows)]:
        ctx.warning(code, message)
        note_warning(ctx.attempt_folder, code, message)


def _of_averages(steps: int) -> Iterator[Tuple[str, str]]:
    left = MOMENTUM**steps
    if steps and left > _LARGEST_SHARE:
        enough = math.ceil(math.log(_LARGEST_SHARE) / math.log(MOMENTUM))
        yield (
            "TRAINING_TOO_SHORT",
            f"after {steps} steps, {left:.0%} of the averages by which the network normalises its layers are still "
            "those of an untrained network: it is likely to make images worse. Train for more epochs, or more steps "
            f"in each; {enough} steps in all are the least.",
        )


def _of_loss(rows: Sequence[Row]) -> Iterator[Tuple[str, str]]:
    losses = [row.get("val_loss", row["loss"]) for row in rows]
    third = len(losses) // 3
    if not third:
        return
    late, before = sum(losses[-third:]), sum(losses[-2 * third : -third])
    if late < _FALLING * before:
        name = "validation loss" if "val_loss" in rows[0] else "loss"
        yield (
            "LOSS_STILL_FALLING",
            f"the {name} still fell by {1 - late / before:.0%} towards the end of the training: more epochs would "
            "denoise better.",
        )
