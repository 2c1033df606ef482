# SPDX-License-Identifier: BSD-3-Clause
"""Instance segmentation as a kind of task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Sequence

from dl4mic_sdk.qc.instance import Tally, instance_numbers, pool, score_instances
from dl4mic_sdk.qc.instance_definitions import INSTANCE_DEFINITIONS
from dl4mic_sdk.qc.kind import Kind, Numbers
from dl4mic_sdk.qc.sample import target_of

if TYPE_CHECKING:
    from dl4mic_sdk.qc.panels import Panel
    from dl4mic_sdk.qc.sample import Sample, SampleFiles


class InstanceKind(Kind):
    """Objects of a label image, each with a number of its own."""

    task = "instance segmentation"
    definitions = INSTANCE_DEFINITIONS
    headline = (
        "instance.f1@0.5/1",
        "instance.precision@0.5/1",
        "instance.recall@0.5/1",
        "instance.ap@0.5:0.95/1",
        "instance.panoptic_quality@0.5/1",
    )
    rank_by = "instance.f1@0.5/1"
    foreground = "instance.foreground/1"
    labels = True
    tested = "annotated image"
    target_hint = "The targets must be label images of the same shape as the images."
    method = (
        "Predicted objects were matched one to one with the annotated ones at an intersection over "
        "union of at least 0.5 (Schmidt et al. 2018); AP 0.5-0.95 is the accuracy TP / (TP + FP + "
        "FN) averaged over the thresholds 0.50, 0.55 ... 0.95."
    )
    citations = (
        "Schmidt U, Weigert M, Broaddus C, Myers G. Cell detection with star-convex polygons. "
        "MICCAI 2018. doi:10.1007/978-3-030-00934-2_30",
        "Kirillov A, He K, Girshick R, Rother C, Dollar P. Panoptic segmentation. CVPR 2019. "
        "doi:10.1109/CVPR.2019.00963",
        "Caicedo JC, Roth J, Goodman A, et al. Evaluation of deep learning strategies for nucleus "
        "segmentation in fluorescence images. Cytometry A 2019. doi:10.1002/cyto.a.23863",
    )

    def measure(self, sample: Sample, files: SampleFiles) -> Tally:
        """Count objects and their matches."""
        target = target_of(sample, self.target_hint)
        return score_instances(target.pixels, sample.prediction.pixels).tally

    def pool(self, measurements: Sequence[Tally]) -> Tally:
        """Add up the counts."""
        return pool(measurements)

    def numbers(self, measurement: Tally) -> Numbers:
        """Compute precision, recall and so on."""
        return instance_numbers(measurement)

    def panel(self, sample: Sample) -> Panel:
        """Draw source (where it is known), prediction, target and the outlines of both."""
        from dl4mic_sdk.qc.instance_panel import instance_panel

        target = target_of(sample, self.target_hint)
        return instance_panel(sample.source, target, sample.prediction)
