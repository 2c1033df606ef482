# SPDX-License-Identifier: BSD-3-Clause
"""Can finished predictions be scored? Looks at them, their targets, and the images they were made of, if given."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional

from dl4mic_sdk import data_rules
from dl4mic_sdk.data_rules import Fault, Need
from dl4mic_sdk.data_summary import DataSummary, FileFacts, stat_of
from dl4mic_sdk.dataset_reader import Faults
from dl4mic_sdk.errors import ImageError
from dl4mic_sdk.images import Image, ImageInfo, inspect, read, stem
from dl4mic_sdk.pairs import Item, pair
from dl4mic_sdk.pixel_facts import components, label_facts, pixel_facts

PREDICTION, TARGET, SOURCE = "prediction", "target", "source"


def check_predictions(request: Mapping[str, Any]) -> DataSummary:
    """Read every file of a request that scores finished predictions, one at a time.

    Parameters
    ----------
    request
        Content of `request.json`, with ``prediction``.

    Returns
    -------
    DataSummary
        Its items have the predictions as sources, and `sources_of` finds the images.

    Raises
    ------
    DataError
        Names do not match, or files cannot be used; all of them are named.
    """
    data = request["data"]
    axes = (data.get("axes") or "").upper()
    checker = _Checker(Need.of(request, {}), axes)
    pairs = pair(request["prediction"], data["target"])
    sources: Dict[str, Path] = {}
    if data.get("source"):
        sources = {stem(target): source for source, target in pair(data["source"], data["target"])}
    items = [checker.item(one, target, sources.get(stem(target))) for one, target in pairs]
    checker.check_together()
    checker.faults.raise_if_any(len(checker.files))
    summary = DataSummary(checker.need.supervision, tuple(items), files=tuple(checker.files))
    return summary.with_warnings(*data_rules.warnings_of(summary))


def sources_of(request: Mapping[str, Any]) -> Dict[str, Item]:
    """Find the images that predictions were made of: name -> image; empty where the request names none."""
    data = request["data"]
    if not data.get("source"):
        return {}
    pairs = pair(data["source"], data["target"])
    axes = data.get("axes") or ""
    items = [
        Item(stem(target), source, target, "", (), source_axes=axes) for source, target in pairs
    ]
    return {each.name: each for each in items}


class _Checker:
    """Collects what the files are and what is wrong with them."""

    def __init__(self, need: Need, axes: str) -> None:
        self.need = need
        self.faults = Faults()
        self.files: List[FileFacts] = []
        self._axes = axes
        self._labels_axes = axes.replace("C", "") if need.masks else axes
        self._parts: Dict[str, Dict[str, int]] = {PREDICTION: {}, TARGET: {}}

    def item(self, prediction: Path, target: Path, source: Optional[Path]) -> Item:
        """Look at one prediction, its target, and the image."""
        axes = self._labels_axes
        of_target = self._look(target, TARGET, axes)
        of_prediction = self._look(prediction, PREDICTION, axes)
        of_source = self._look(source, SOURCE, self._axes) if source else None
        if of_target is not None:
            for info in filter(None, (of_prediction, of_source)):
                self._refuse_other_size(info, of_target)
        shape = of_prediction.shape if of_prediction else ()
        names = of_prediction.axes if of_prediction else ""
        return Item(
            stem(target), prediction, target, names, shape, source_axes=axes, target_axes=axes
        )

    def check_together(self) -> None:
        """Look for masks whose objects nobody numbered."""
        for role, parts in self._parts.items():
            filled = sum(each.role == role and bool(each.objects) for each in self.files)
            for path, fault in data_rules.unnumbered(parts, filled).items():
                self.faults.add(path, fault)

    def _look(self, path: Path, role: str, axes: str) -> Optional[ImageInfo]:
        """Read a file; None where it is at fault, which is noted."""
        try:
            info = inspect(path, axes)
            self._note(info, role)
            fault = None
            if role != SOURCE and self.need.masks:
                fault = data_rules.mask_header_fault(info, self.need)
            fault = fault or self._pixel_fault(read(path, axes), role)
        except ImageError as error:
            fault = Fault(error.fault, error.hint)
        if fault is None:
            return info
        self.faults.add(str(path), fault)
        return None

    def _note(self, info: ImageInfo, role: str) -> None:
        size, changed = stat_of(str(info.path))
        facts = (info.axes, info.shape, info.dtype.name, info.pixel_size, size, changed)
        self.files.append(FileFacts(str(info.path), role, *facts))

    def _pixel_fault(self, image: Image, role: str) -> Optional[Fault]:
        facts = pixel_facts(image, 1)
        self.files[-1] = replace(
            self.files[-1],
            sha256=facts.sha256,
            minimum=facts.minimum,
            maximum=facts.maximum,
            mean=facts.mean,
            foreground=facts.foreground if role == TARGET and self.need.masks else None,
        )
        if role == SOURCE or not self.need.masks:
            return data_rules.not_finite_fault(facts.not_finite)
        fault = data_rules.label_fault(facts.minimum, facts.maximum)
        if fault is None and self.need.supervision == "label_images":
            self._note_labels(image, role)
        return fault

    def _note_labels(self, image: Image, role: str) -> None:
        count = len(label_facts(image).numbers)
        self.files[-1] = replace(self.files[-1], objects=count)
        if count == 1:
            self._parts[role][self.files[-1].path] = components(image)

    def _refuse_other_size(self, info: ImageInfo, target: ImageInfo) -> None:
        """Note a file that does not show the target's pixels; channels may differ."""
        sizes = [dict(zip(each.axes, each.shape)) for each in (info, target)]
        if all(sizes[0].get(a, 1) == sizes[1].get(a, 1) for a in "TZYX"):
            return
        said = [data_rules.said_size(each.axes, each.shape) for each in (info, target)]
        hint = "A prediction, its image and its target must show the same pixels."
        self.faults.add(str(info.path), Fault("is {}, but its target is {}".format(*said), hint))
