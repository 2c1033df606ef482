# SPDX-License-Identifier: BSD-3-Clause
"""What a kind of task brings to quality control: its numbers and its pictures."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Dict, Optional, Sequence, Tuple

from dl4mic_sdk.qc.definition import Definition

if TYPE_CHECKING:
    from dl4mic_sdk.images import Image
    from dl4mic_sdk.qc.panels import Panel

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
    foreground
        Id of the share of foreground pixels in the target, in 0..1, or "" where there is no such
        number.
    method
        How the scores were made, in a sentence for a methods section.
    citations
        Publications of the scores.
    """

    task: str
    definitions: Tuple[Definition, ...]
    headline: Tuple[str, ...]
    rank_by: str
    foreground: str = ""
    method: str
    citations: Tuple[str, ...]

    @abstractmethod
    def measure(self, target: Image, prediction: Image) -> Any:
        """Compare a prediction with its target.

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
    def panel(self, source: Optional[Image], target: Image, prediction: Image) -> Panel:
        """Draw one image, where it is known, with its prediction and target, for people."""
