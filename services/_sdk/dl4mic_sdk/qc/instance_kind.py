# SPDX-License-Identifier: BSD-3-Clause
"""Instance segmentation as a kind of task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional, Sequence

from dl4mic_sdk.qc.instance import Tally, instance_numbers, pool, score_instances
from dl4mic_sdk.qc.instance_definitions import INSTANCE_DEFINITIONS
from dl4mic_sdk.qc.kind import Kind, Numbers

if TYPE_CHECKING:
    from dl4mic_sdk.images import Image
    from dl4mic_sdk.qc.panels import Panel


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

    def measure(self, target: Image, prediction: Image) -> Tally:
        """Count objects and their matches."""
        return score_instances(target.pixels, prediction.pixels).tally

    def pool(self, measurements: Sequence[Tally]) -> Tally:
        """Add up the counts."""
        return pool(measurements)

    def numbers(self, measurement: Tally) -> Numbers:
        """Compute precision, recall and so on."""
        return instance_numbers(measurement)

    def panel(self, source: Optional[Image], target: Image, prediction: Image) -> Panel:
        """Draw source (where it is known), prediction, target and the outlines of both."""
        from dl4mic_sdk.qc.instance_panel import instance_panel

        return instance_panel(source, target, prediction)
