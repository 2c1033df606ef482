# SPDX-License-Identifier: BSD-3-Clause
"""The kinds of task that can be scored."""

from __future__ import annotations

from typing import Dict

from dl4mic_sdk.errors import SdkError
from dl4mic_sdk.qc.instance_kind import InstanceKind
from dl4mic_sdk.qc.kind import Kind

KINDS: Dict[str, Kind] = {each.task: each for each in (InstanceKind(),)}
"""Task of the manifest -> how it is scored."""


def kind_of(task: str) -> Kind:
    """Return how a task is scored.

    Raises
    ------
    SdkError
        No kind of that name.
    """
    if task not in KINDS:
        raise SdkError(
            "quality control does not know the task {!r}".format(task),
            "It scores {}; the network has to bring its own `qc`.".format(", ".join(sorted(KINDS))),
        )
    return KINDS[task]
