# SPDX-License-Identifier: BSD-3-Clause
"""What is known of a checked data set, and its record `data.json`."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Tuple

from dl4mic_sdk.pairs import Item


@dataclass(frozen=True)
class FileFacts:
    """What the check found in one file.

    Attributes
    ----------
    path, role
        The file; ``"source"`` or ``"target"``.
    axes, shape, dtype, pixel_size
        As of `images.ImageInfo`.
    size, mtime_ns
        Of the file, to see whether it has changed since.
    sha256
        Fingerprint of the pixels, whatever the file's format; empty where the pixels were not read.
    minimum, maximum, mean
        Of the pixels.
    objects
        Object numbers in a label image, else None.
    foreground
        Share of the pixels of a mask that are not 0, else None.
    series
        Images in the file, of which the first is taken.
    at_maximum
        Share of the pixels that have the largest value.
    """

    path: str
    role: str
    axes: str
    shape: Tuple[int, ...]
    dtype: str
    pixel_size: Mapping[str, float]
    size: int
    mtime_ns: int
    sha256: str = ""
    minimum: float = 0.0
    maximum: float = 0.0
    mean: float = 0.0
    objects: Optional[int] = None
    foreground: Optional[float] = None
    series: int = 1
    at_maximum: float = 0.0


@dataclass(frozen=True)
class DataSummary:
    """A checked data set.

    Attributes
    ----------
    supervision
        Lower-case name of the contract's kind of supervision.
    items
        The images with their targets, in natural order of their names. For a prediction also those whose header
        cannot be read: they fail alone.
    targets
        The images of the other domain, where nothing is paired.
    validation
        The images of the validation set that the request names, if any.
    files
        One entry a file that was read.
    intensity
        Percentile ("0.1", "1", "50", "99", "99.9") -> intensity over a sample of all source pixels.
    pixel_size
        Axis letter -> median in µm over the source files that say it.
    object_count
        Objects in all label images; 0 without.
    object_extent
        Axis letter -> median extent of an object in pixels.
    warnings
        (code, message) of what is odd but usable.
    """

    supervision: str
    items: Tuple[Item, ...]
    targets: Tuple[Item, ...] = ()
    validation: Tuple[Item, ...] = ()
    files: Tuple[FileFacts, ...] = ()
    intensity: Mapping[str, float] = field(default_factory=dict)
    pixel_size: Mapping[str, float] = field(default_factory=dict)
    object_count: int = 0
    object_extent: Mapping[str, float] = field(default_factory=dict)
    warnings: Tuple[Tuple[str, str], ...] = ()

    @property
    def fingerprints(self) -> Dict[str, str]:
        """Fingerprint of the pixels of each source file -> its path."""
        return {
            each.sha256: each.path for each in self.files if each.role == "source" and each.sha256
        }

    @property
    def smallest_shape(self) -> Dict[str, int]:
        """Axis letter -> smallest size of any image along it."""
        smallest: Dict[str, int] = {}
        for item in self.items:
            for axis, length in zip(item.axes, item.shape):
                smallest[axis] = min(length, smallest.get(axis, length))
        return smallest

    def with_warnings(self, *warnings: Tuple[str, str]) -> DataSummary:
        """Return the same summary with further warnings."""
        return replace(self, warnings=self.warnings + warnings)

    def as_record(self) -> Dict[str, Any]:
        """Plain values for JSON: `data.json`, and the data part of `model.json`."""
        record = asdict(self)
        for name in ("items", "targets", "validation"):
            record[name] = [_plain_item(each) for each in getattr(self, name)]
        return record

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> DataSummary:
        """Make a summary of what `as_record` returned, also after it went through JSON."""
        values = dict(record)
        for name in ("items", "targets", "validation"):
            values[name] = tuple(_item(each) for each in record[name])
        values["files"] = tuple(_file_facts(each) for each in record["files"])
        values["warnings"] = tuple((code, message) for code, message in record["warnings"])
        return cls(**values)


def stat_of(path: str) -> Tuple[int, int]:
    """Size in bytes and time of change in ns of a file."""
    status = os.stat(path)
    return status.st_size, status.st_mtime_ns


def _plain_item(item: Item) -> Dict[str, Any]:
    return dict(
        asdict(item),
        source=str(item.source),
        target=None if item.target is None else str(item.target),
    )


def _item(record: Mapping[str, Any]) -> Item:
    region: Optional[List[List[int]]] = record["region"]
    return Item(
        **dict(
            record,
            source=Path(record["source"]),
            target=None if record["target"] is None else Path(record["target"]),
            shape=tuple(record["shape"]),
            region=None if region is None else tuple((start, stop) for start, stop in region),
        )
    )


def _file_facts(record: Mapping[str, Any]) -> FileFacts:
    return FileFacts(**dict(record, shape=tuple(record["shape"])))
