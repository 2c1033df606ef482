# SPDX-License-Identifier: BSD-3-Clause
"""What the QC report shows beside the numbers, and how it writes numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Mapping, Optional, Sequence

from dl4mic_sdk.pages import NOT_DEFINED
from dl4mic_sdk.qc.comparison import Comparison
from dl4mic_sdk.qc.definition import Definition
from dl4mic_sdk.qc.paired_test import PairedTest
from dl4mic_sdk.qc.pictures import CaptionedPanel
from dl4mic_sdk.qc.result import QcResult
from dl4mic_sdk.training import read_history

if TYPE_CHECKING:
    from dl4mic_sdk.task import ModelFolder, QcTask

_SMALL_P = 0.0001

WITHOUT_MODEL = (
    "Whether images of this test were used in training, and whether they are like those of the "
    "training: no model was given.",
    "Loss curves and what they say about the training: no model was given.",
)
WITHOUT_IMAGES = (
    "The images themselves in the pictures: only predictions and targets were given (add the "
    "images as source)."
)


@dataclass(frozen=True)
class ReportParts:
    """What the report shows beside the result.

    Attributes
    ----------
    comparison
        The numbers of all that was scored; the report is about the best.
    record
        `model.json` of the best model; empty where finished predictions were scored.
    manifest
        The network's manifest in plain values.
    panels
        Caption and pictures, in the order of the report.
    history
        The best model's loss record, one row an epoch.
    left_out
        What cannot be said, and why, one sentence each.
    """

    comparison: Comparison
    record: Mapping[str, Any]
    manifest: Mapping[str, Any]
    panels: Sequence[CaptionedPanel]
    history: Sequence[Mapping[str, float]]
    left_out: Sequence[str] = ()

    @classmethod
    def of(
        cls, comparison: Comparison, task: QcTask, panels: Sequence[CaptionedPanel]
    ) -> ReportParts:
        """Gather what a task and the folder of its best model say."""
        model, of_kind = comparison.best.candidate.model, comparison.best.kind.left_out
        if model is None:
            left_out = [*WITHOUT_MODEL, *(() if task.sources else [WITHOUT_IMAGES]), *of_kind]
            return cls(comparison, {}, task.manifest, panels, [], left_out)
        history = read_history(model.path)
        return cls(comparison, model.record, task.manifest, panels, history, of_kind)

    @property
    def result(self) -> QcResult:
        """What was measured of the best."""
        return self.comparison.best

    @property
    def model(self) -> Optional[ModelFolder]:
        """The best model; None where finished predictions were scored."""
        return self.result.candidate.model

    @property
    def network(self) -> str:
        """Title of the network."""
        title: str = self.manifest.get("title", "")
        return title


def shown_p(test: PairedTest) -> str:
    """Format the adjusted p, which is what the verdict is made on."""
    if test.p_adjusted is None:
        return NOT_DEFINED
    return ("{:.1e}" if test.p_adjusted < _SMALL_P else "{:.4f}").format(test.p_adjusted)


def shown(definition: Definition, value: Optional[float]) -> str:
    """Format a number for people."""
    if value is None:
        return NOT_DEFINED
    return "{:.0f}".format(value) if definition.whole else "{:.3f}".format(value)
