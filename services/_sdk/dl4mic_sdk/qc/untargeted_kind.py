# SPDX-License-Identifier: BSD-3-Clause
"""Restoration of images whose truth nobody knows: what was taken away, and whether it looks like noise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Sequence

from dl4mic_sdk.errors import DataError
from dl4mic_sdk.images import Image
from dl4mic_sdk.qc import residual
from dl4mic_sdk.qc.kind import Kind, Numbers
from dl4mic_sdk.qc.residual import Residual, measure_residual, pool_residuals
from dl4mic_sdk.qc.restoration import refuse_not_finite, refuse_unlike

if TYPE_CHECKING:
    from dl4mic_sdk.qc.panels import Panel
    from dl4mic_sdk.qc.sample import Sample, SampleFiles


class UntargetedKind(Kind):
    """A restored image against the one that it was made of."""

    task = "restoration"
    definitions = residual.DEFINITIONS
    headline = (
        residual.RESIDUAL_WHITENESS,
        residual.NOISE_REMOVED,
        residual.PEARSON_SOURCE,
    )
    rank_by = residual.RESIDUAL_WHITENESS
    needs_source = True
    tested = "image without a target"
    target_hint = "Images and predictions must have the same shape, without NaN."
    method = (
        "What the model takes away from an image, the residual, was examined: its noise (Immerkaer 1996), and its "
        "correlation from pixel to pixel, which shows where structure was taken away with the noise."
    )
    citations = (
        "Immerkaer J. Fast noise variance estimation. Comput Vis Image Underst 1996. "
        "doi:10.1006/cviu.1996.0060",
    )

    @property
    def left_out(self) -> Sequence[str]:
        """All that needs a target."""
        return (
            "How right the images are (SSIM, NRMSE, PSNR, Pearson's correlation with a target, error maps, and the "
            "gain over simple filters): no target was given. Ranks here say only which residual looks most like "
            "noise: a model that does too little may lead.",
        )

    def measure(self, sample: Sample, files: SampleFiles) -> Residual:
        """Examine the residual, and leave it as a map."""
        source = _source_of(sample)
        found, left = measure_residual(source, sample.prediction)
        files.maps_like(source, sample.name).write_whole("residual", left)
        return found

    def pool(self, measurements: Sequence[Residual]) -> Residual:
        """Average, weighted by pixels."""
        return pool_residuals(measurements)

    def numbers(self, measurement: Residual) -> Numbers:
        """Return what was measured."""
        return measurement.numbers

    def panel(self, sample: Sample) -> Panel:
        """Draw source, prediction and residual."""
        from dl4mic_sdk.qc.restoration_panel import residual_panel

        source = _source_of(sample)
        return residual_panel(
            source, sample.prediction, measure_residual(source, sample.prediction)[1]
        )


def _source_of(sample: Sample) -> Image:
    """Return the source, to which the prediction must be alike."""
    if sample.source is None:
        raise DataError("neither a target nor the image itself is known", "Give one of them.")
    refuse_not_finite("the image", sample.source)
    refuse_unlike("the prediction", sample.prediction, sample.source, "the image")
    return sample.source
