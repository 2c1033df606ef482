# SPDX-License-Identifier: BSD-3-Clause
"""Goes through the files of a data set, one pair at a time, and collects what they are and what is wrong with them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Tuple, Union

import numpy as np

from dl4mic_sdk import data_rules
from dl4mic_sdk.data_rules import Fault, Need
from dl4mic_sdk.data_summary import DataSummary, FileFacts, stat_of
from dl4mic_sdk.errors import MOST_FILES_NAMED, DataError, ImageError
from dl4mic_sdk.images import Image, ImageInfo, inspect, list_images, read, stem
from dl4mic_sdk.pairs import Item, pair, refuse_unfit_names
from dl4mic_sdk.pixel_facts import PixelFacts, components, label_facts, pixel_facts
from dl4mic_sdk.restoration_survey import survey

_SAMPLED_PIXELS = 2_000_000
_MOST_EXTENTS = 200_000
_PERCENTILES = (0.1, 1.0, 50.0, 99.0, 99.9)


class Faults:
    """The files at fault: all counted, the first hundred kept."""

    def __init__(self) -> None:
        self.files: List[Tuple[str, str]] = []
        self.count = 0
        self._hints: List[str] = []

    def add(self, path: str, fault: Fault) -> None:
        """Note a file at fault."""
        self.count += 1
        if len(self.files) < MOST_FILES_NAMED:
            self.files.append((path, fault.message))
        if fault.hint and fault.hint not in self._hints:
            self._hints.append(fault.hint)

    def raise_if_any(self, file_count: int) -> None:
        """Raise DataError naming the files, if there are any."""
        if not self.count:
            return
        first = "; ".join("{} {}".format(Path(path).name, said) for path, said in self.files[:3])
        more = " and {} more".format(self.count - 3) if self.count > 3 else ""
        message = "{} of {} files cannot be used: {}{}".format(self.count, file_count, first, more)
        raise DataError(message, " ".join(self._hints[:3]), self.files, self.count)


@dataclass(frozen=True)
class Dataset:
    """Where a data set lies, as the request says.

    Attributes
    ----------
    source, target
        Folders or single files; no target: empty.
    axes
        What the user said that the axes of the files are.
    """

    source: str
    target: str
    axes: str

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Dataset:
        """Read it from the request's plain values."""
        return cls(data["source"], data.get("target") or "", data.get("axes") or "")

    def files(self, supervision: str) -> List[Tuple[Path, Optional[Path]]]:
        """List images with their targets.

        Raises
        ------
        DataError
            A folder is missing or empty, or the names do not match.
        """
        if supervision in data_rules.PAIRED_WITH_IMAGES:
            self.refuse_missing_target(supervision)
            return [(source, target) for source, target in pair(self.source, self.target)]
        if supervision not in data_rules.WITHOUT_TARGET:
            self.refuse_missing_target(supervision)
        return [(each, None) for each in _images_of(self.source)]

    def refuse_missing_target(self, supervision: str) -> None:
        """Raise DataError when no target is given."""
        if not self.target:
            message = "this network needs targets ({})".format(supervision.replace("_", " "))
            raise DataError(message, "Give their folder as target.")


class DatasetReader:
    """Reads data sets for one request.

    Parameters
    ----------
    need
        What the request needs of its data.

    Attributes
    ----------
    faults
        What is wrong with the files read so far.
    file_count
        How many they are.
    """

    def __init__(self, need: Need) -> None:
        self.faults = Faults()
        self.file_count = 0
        self._need = need
        self._infos: List[ImageInfo] = []
        self._files: List[FileFacts] = []
        self._samples: List[np.ndarray] = []
        self._sample_size = 0
        self._parts: Dict[str, int] = {}
        self._objects = 0
        self._extents: Dict[str, List[np.ndarray]] = {}
        self._extent_count = 0

    def read(self, dataset: Dataset) -> Tuple[Item, ...]:
        """Look at every file of a data set; return its images, those at fault too."""
        files = dataset.files(self._need.supervision)
        self._sample_size = max(64, min(4096, _SAMPLED_PIXELS // len(files)))
        return tuple(self._item(source, target, dataset.axes) for source, target in files)

    def read_targets(self, dataset: Dataset) -> Tuple[Item, ...]:
        """Look at the images of the other domain, where nothing is paired."""
        if self._need.supervision != "unpaired_images":
            return ()
        return tuple(self._item(each, None, dataset.axes) for each in _images_of(dataset.target))

    def check_together(self) -> None:
        """Look for what shows only when all files are known."""
        for path, fault in data_rules.odd_axes(self._infos, self._need.channel):
            self.faults.add(path, fault)
        masks = [each for each in self._files if each.foreground is not None]
        filled = [each for each in masks if each.foreground]
        for path, fault in data_rules.unnumbered(self._parts, len(filled)).items():
            self.faults.add(path, fault)
        if masks and not filled and not self.faults.count:
            hint = "0 is background; give masks that mark what the network is to find."
            files = [(each.path, "is empty") for each in masks]
            raise DataError("all {} masks are empty".format(len(masks)), hint, files)

    def summary(
        self,
        items: Tuple[Item, ...],
        targets: Tuple[Item, ...] = (),
        validation: Tuple[Item, ...] = (),
    ) -> DataSummary:
        """Put together what was found."""
        summary = DataSummary(
            supervision=self._need.supervision,
            items=items,
            targets=targets,
            validation=validation,
            files=tuple(self._files),
            intensity=self._intensity(),
            pixel_size=_median_pixel_size(self._infos),
            object_count=self._objects,
            object_extent={
                axis: float(np.median(np.concatenate(each))) for axis, each in self._extents.items()
            },
        )
        odd = survey(items, self._need.supervision) if self._need.pixels else ()
        return summary.with_warnings(*data_rules.warnings_of(summary), *odd)

    def _item(self, source: Path, target: Optional[Path], axes: str) -> Item:
        info = self._inspect(source, "source", axes)
        if isinstance(info, Fault):
            item = Item(stem(source), source, target, "", (), source_axes=axes, fault=info.message)
            return item if target is None else self._with_target(item, None, target)
        item = self._whole(info, target, axes)
        fault = data_rules.header_fault(info, self._need)
        if fault is None:
            self._infos.append(info)
            fault = self._pixel_fault(item)
        if fault is not None:
            self.faults.add(str(source), fault)
            item = replace(item, fault=fault.message)
        return item if target is None else self._with_target(item, info, target)

    def _whole(self, info: ImageInfo, target: Optional[Path], axes: str) -> Item:
        channel = self._need.channel if "C" in info.axes else None
        kept = [(a, n) for a, n in zip(info.axes, info.shape) if a != "C" or channel is None]
        names, shape = "".join(a for a, _ in kept), tuple(n for _, n in kept)
        planes = data_rules.planes_of(info.axes, self._need) or ""
        about = (names, shape, None, channel, axes)
        return Item(stem(info.path), info.path, target, *about, planes=planes)

    def _with_target(self, item: Item, source: Optional[ImageInfo], target: Path) -> Item:
        axes = item.source_axes.upper()
        if self._need.masks or (source and "C" not in source.axes):
            axes = axes.replace("C", "")
        info = self._inspect(target, "target", axes)
        if isinstance(info, Fault):
            return item
        fault = data_rules.mask_header_fault(info, self._need) if self._need.masks else None
        if fault is None and source is not None:
            fault = data_rules.pair_fault(source, info)
        fault = fault or self._target_pixel_fault(target, axes)
        if fault is not None:
            self.faults.add(str(target), fault)
        return replace(item, target_axes=axes)

    def _inspect(self, path: Path, role: str, axes: str) -> Union[ImageInfo, Fault]:
        """Read a header; a file that has none is noted as at fault."""
        self.file_count += 1
        try:
            info = inspect(path, axes)
            size, changed = stat_of(str(path))
        except ImageError as error:
            fault = Fault(error.fault, error.hint)
            self.faults.add(str(path), fault)
            return fault
        pixel_size = {axis: round(each, 9) for axis, each in info.pixel_size.items()}
        facts = (str(path), role, info.axes, info.shape, info.dtype.name, pixel_size, size, changed)
        self._files.append(FileFacts(*facts, series=info.series))
        return info

    def _pixel_fault(self, item: Item) -> Optional[Fault]:
        if not self._need.pixels:
            return None
        try:
            facts = pixel_facts(read(item.source, item.source_axes), self._sample_size)
        except (ImageError, MemoryError) as error:
            return _fault_of(error)
        self._note(facts)
        self._samples.append(facts.sample)
        return data_rules.not_finite_fault(facts.not_finite)

    def _target_pixel_fault(self, target: Path, axes: str) -> Optional[Fault]:
        if not self._need.pixels:
            return None
        try:
            image = read(target, axes)
            facts = pixel_facts(image, 1)
            self._note(facts)
        except (ImageError, MemoryError) as error:
            return _fault_of(error)
        if not self._need.masks:
            return data_rules.not_finite_fault(facts.not_finite)
        self._files[-1] = replace(self._files[-1], foreground=facts.foreground)
        fault = data_rules.label_fault(facts.minimum, facts.maximum)
        if fault is None and self._need.supervision == "label_images":
            self._note_labels(image)
        return fault

    def _note(self, facts: PixelFacts) -> None:
        self._files[-1] = replace(
            self._files[-1],
            sha256=facts.sha256,
            minimum=facts.minimum,
            maximum=facts.maximum,
            mean=facts.mean,
            at_maximum=facts.at_maximum,
        )

    def _note_labels(self, image: Image) -> None:
        labels = label_facts(image)
        count = len(labels.numbers)
        self._files[-1] = replace(self._files[-1], objects=count)
        self._objects += count
        if count == 1:
            self._parts[self._files[-1].path] = components(image)
        if count and self._extent_count < _MOST_EXTENTS:
            self._extent_count += count
            for axis, sizes in labels.extents.items():
                self._extents.setdefault(axis, []).append(sizes)

    def _intensity(self) -> Dict[str, float]:
        if not self._samples:
            return {}
        values = np.percentile(np.concatenate(self._samples).astype(np.float64), _PERCENTILES)
        return {"{:g}".format(p): float(value) for p, value in zip(_PERCENTILES, values)}


def _fault_of(error: Union[ImageError, MemoryError]) -> Fault:
    """Say what kept an image from being read; one that is too large for this machine is at fault as a damaged one."""
    if isinstance(error, ImageError):
        return Fault(error.fault, error.hint)
    return Fault("does not fit into the memory of this machine", "Cut it into smaller images.")


def _images_of(folder: str) -> List[Path]:
    found = list_images(folder)
    refuse_unfit_names(found)
    return found


def _median_pixel_size(infos: List[ImageInfo]) -> Dict[str, float]:
    axes = sorted({axis for each in infos for axis in each.pixel_size})
    return {
        axis: float(np.median([each.pixel_size[axis] for each in infos if axis in each.pixel_size]))
        for axis in axes
    }
