# SPDX-License-Identifier: BSD-3-Clause
"""The kinds of task that can be scored."""

from __future__ import annotations

from typing import Dict

from dl4mic_sdk.errors import SdkError
from dl4mic_sdk.qc.instance_kind import InstanceKind
from dl4mic_sdk.qc.kind import Kind
from dl4mic_sdk.qc.restoration_kind import RestorationKind
from dl4mic_sdk.qc.untargeted_kind import UntargetedKind

KINDS: Dict[str, Kind] = {each.task: each for each in (InstanceKind(), RestorationKind())}
"""Task of the manifest -> how it is scored."""

WITHOUT_TARGET: Dict[str, Kind] = {each.task: each for each in (UntargetedKind(),)}
"""The same where nobody knows what is right."""


def kind_of(task: str, targets: bool = True) -> Kind:
    """Return how a task is scored.

    Parameters
    ----------
    task
        As manifests name it.
    targets
        Whether what is right is known.

    Raises
    ------
    SdkError
        No kind of that name, or none that does without targets.
    """
    if task not in KINDS:
        raise SdkError(
            "quality control does not know the task {!r}".format(task),
            "It scores {}; the network has to bring its own `qc`.".format(", ".join(sorted(KINDS))),
        )
    if targets:
        return KINDS[task]
    if task not in WITHOUT_TARGET:
        message = "quality control of {} needs targets".format(task)
        raise SdkError(message, "Give the folder of what is right as target.")
    return WITHOUT_TARGET[task]
