# SPDX-License-Identifier: BSD-3-Clause
"""What a kind of task brings to quality control: its numbers and its pictures."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Dict, Mapping, Optional, Sequence, Tuple

from dl4mic_sdk.qc.definition import Definition

if TYPE_CHECKING:
    from dl4mic_sdk.context import Context
    from dl4mic_sdk.qc.panels import Panel
    from dl4mic_sdk.qc.sample import Sample, SampleFiles
    from dl4mic_sdk.task import QcTask

Numbers = Dict[str, Optional[float]]
"""Definition id -> value; None where the number is not defined."""


class Kind(ABC):
    """A kind of task; one module holds one, and `dl4mic_sdk.qc.kinds` names it.

    What `measure` returns is opaque to everybody else. It must be small, since one is kept for
    every image.

    Attributes
    ----------
    task
        The kind as manifests name it: ``"instance segmentation"``.
    definitions
        Every number, in the order of tables.
    headline
        Ids of the few numbers to show first.
    rank_by
        Id of the number that says which image is worst and best; more is better.
    contrasts
        Ids of a number and of the same number of something simpler: whether the first is larger is tested.
    foreground
        Id of the share of foreground pixels in the target, in 0..1, or "" where there is no such
        number.
    method
        How the scores were made, in a sentence for a methods section.
    citations
        Publications of the scores.
    labels
        Targets and predictions hold object numbers.
    needs_source
        It looks at what predictions were made of.
    tested
        What a test image is called in sentences.
    target_hint
        What predictions and targets must be.
    """

    task: str
    definitions: Tuple[Definition, ...]
    headline: Tuple[str, ...]
    rank_by: str
    contrasts: Sequence[Tuple[str, str]] = ()
    foreground: str = ""
    method: str
    citations: Tuple[str, ...]
    labels: bool = False
    needs_source: bool = False
    tested: str
    target_hint: str

    def prepared(self, task: QcTask, ctx: Context) -> Kind:
        """Return the kind as it scores one job: what is learned from training images is learned here."""
        return self

    @property
    def left_out(self) -> Sequence[str]:
        """What it cannot say of a job, and why, one sentence each."""
        return ()

    @property
    def facts(self) -> Mapping[str, Any]:
        """What `prepared` found out, in plain values."""
        return {}

    @abstractmethod
    def measure(self, sample: Sample, files: SampleFiles) -> Any:
        """Compare a prediction with its target.

        Parameters
        ----------
        sample
            The image.
        files
            Takes maps, and the numbers of planes.

        Raises
        ------
        DataError
            They cannot be compared.
        """

    @abstractmethod
    def pool(self, measurements: Sequence[Any]) -> Any:
        """Join what was measured on several images, as if they were one."""

    @abstractmethod
    def numbers(self, measurement: Any) -> Numbers:
        """Compute every number of `definitions`."""

    @abstractmethod
    def panel(self, sample: Sample) -> Panel:
        """Draw one image for people."""
