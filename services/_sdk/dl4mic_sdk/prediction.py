# SPDX-License-Identifier: BSD-3-Clause
"""What a network makes of one image."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Mapping, Sequence, Tuple, Union

if TYPE_CHECKING:
    from dl4mic_sdk.images import Image, ImageOnDisk


@dataclass(frozen=True)
class Table:
    """Rows of values with named columns, written as CSV."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]


@dataclass(frozen=True)
class Prediction:
    """What a network makes of one image.

    Attributes
    ----------
    images
        Title -> image. The first is the result itself, written under the name of the input; each further one goes
        into a folder of its title.
    labels
        The first image holds object numbers (written as 16- or 32-bit integers).
    tables
        Title -> table, written as ``<name>_<title>.csv``.
    files
        Ending -> content of further files, e.g. ``{"_rois.zip": ...}``; or the path of a file that is moved there.
    normalised
        The first image is on another scale than the intensities of what it was made of, such as 0 to 1: integers would
        not hold it.
    """

    images: Mapping[str, Union[Image, ImageOnDisk]]
    labels: bool = False
    tables: Mapping[str, Table] = field(default_factory=dict)
    files: Mapping[str, Union[bytes, Path]] = field(default_factory=dict)
    normalised: bool = False

    @property
    def main(self) -> Tuple[str, Union[Image, ImageOnDisk]]:
        """Title and image of the result itself."""
        return next(iter(self.images.items()))
