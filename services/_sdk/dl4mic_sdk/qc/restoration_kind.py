# SPDX-License-Identifier: BSD-3-Clause
"""Restoration as a kind of task: a better image of the same thing, beside its source and simple filters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, Mapping, Sequence

import numpy as np

from dl4mic_sdk.images import Image
from dl4mic_sdk.qc import restoration_definitions as defined
from dl4mic_sdk.qc.agreement import Measurement, join
from dl4mic_sdk.qc.baselines import Baselines
from dl4mic_sdk.qc.kind import Kind, Numbers
from dl4mic_sdk.qc.restoration import compare_images
from dl4mic_sdk.qc.restoration_definitions import PREDICTION, SOURCE, Metric
from dl4mic_sdk.qc.sample import target_of

if TYPE_CHECKING:
    from dl4mic_sdk.context import Context
    from dl4mic_sdk.qc.panels import Panel
    from dl4mic_sdk.qc.sample import Sample, SampleFiles
    from dl4mic_sdk.task import QcTask

_MAPPED = (PREDICTION, SOURCE)
_SHOWN = (Metric.SSIM, Metric.PSNR, Metric.NRMSE, Metric.PEARSON)
_TESTED = (Metric.SSIM, Metric.PSNR)


class RestorationKind(Kind):
    """A restored image against its target.

    Parameters
    ----------
    baselines
        Filters whose numbers stand beside those of prediction and source.
    """

    task = "restoration"
    rank_by = defined.RANK.id
    foreground = defined.FOREGROUND_ID
    needs_source = True
    tested = "image with a target"
    target_hint = "Targets and predictions must be images of the same shape, without NaN."
    citations = (
        "Wang Z, Bovik AC, Sheikh HR, Simoncelli EP. Image quality assessment: from error "
        "visibility to structural similarity. IEEE Trans Image Process 2004. "
        "doi:10.1109/TIP.2003.819861",
        "Weigert M, Schmidt U, Boothe T, et al. Content-aware image restoration: pushing the "
        "limits of fluorescence microscopy. Nat Methods 2018. doi:10.1038/s41592-018-0216-7",
    )

    def __init__(self, baselines: Baselines = Baselines()) -> None:  # noqa: B008  # it is frozen
        self._baselines = baselines
        beside = (SOURCE, *(each.kind for each in baselines.filters))
        self._compared = (PREDICTION, *beside)
        self.definitions = defined.definitions(self._compared)
        self.headline = (
            *(defined.headline_id(metric) for metric in _SHOWN),
            *(defined.headline_id(metric, of) for of in beside for metric in _TESTED),
        )
        self.contrasts = tuple(
            (defined.headline_id(metric), defined.headline_id(metric, of))
            for of in beside
            for metric in _TESTED
        )
        self.method = _METHOD + baselines.method

    def prepared(self, task: QcTask, ctx: Context) -> RestorationKind:
        """Tune the filters on the training pairs of a model, where these are still there."""
        return RestorationKind(Baselines.of(task, ctx))

    @property
    def left_out(self) -> Sequence[str]:
        """Why there are no filters."""
        return self._baselines.left_out

    @property
    def facts(self) -> Mapping[str, Any]:
        """Which filters there are."""
        return self._baselines.as_plain()

    def measure(self, sample: Sample, files: SampleFiles) -> Measurement:
        """Compare prediction, source and filtered source with the target; leave the maps of the first two."""
        target = target_of(sample, self.target_hint)
        maps = files.maps_like(target, sample.name)

        def keep(of: str, title: str, channel: int, plane: int, values: np.ndarray) -> None:
            if of in _MAPPED:
                maps.put(_map_name(of, title), channel, plane, values)

        found, planes = compare_images(target, self._images(sample, target), keep=keep)
        maps.write()
        files.add_slices(sample.name, [self.numbers(plane) for plane in planes])
        return found

    def pool(self, measurements: Sequence[Measurement]) -> Measurement:
        """Add up the sums, so that every pixel of every image counts the same."""
        return join(measurements)

    def numbers(self, measurement: Measurement) -> Numbers:
        """Compute every number from the sums."""
        return defined.numbers(measurement, self._compared)

    def panel(self, sample: Sample) -> Panel:
        """Draw source, prediction, target, error, similarity, and a line through the worst region."""
        from dl4mic_sdk.qc.restoration_panel import restoration_panel

        target = target_of(sample, self.target_hint)
        images = {
            name: each for name, each in self._images(sample, target).items() if name in _MAPPED
        }
        return restoration_panel(target, images)

    def _images(self, sample: Sample, target: Image) -> Dict[str, Image]:
        """Name what is compared with the target; a source of another shape shows something else."""
        images = {PREDICTION: sample.prediction}
        source = sample.source
        if source is not None and _alike(source, target):
            images[SOURCE] = source
            images.update((each.kind, each.apply(source)) for each in self._baselines.filters)
        return images


def _alike(one: Image, other: Image) -> bool:
    return (one.axes, one.pixels.shape) == (other.axes, other.pixels.shape)


def _map_name(of: str, title: str) -> str:
    return title if of == PREDICTION else "{}_{}".format(of, title)


_METHOD = (
    "Predictions and sources were compared with the targets by structural similarity (Wang et al. 2004), normalised "
    "root mean squared error, peak signal-to-noise ratio and Pearson's correlation, after the target's percentiles "
    "0.1 and 99.9 became 0 and 1, a least-squares fit of the image to the target (Weigert et al. 2018) and a clip to "
    "0..1; and as the notebooks of ZeroCostDL4Mic compute them."
)
