# SPDX-License-Identifier: BSD-3-Clause
"""What is scored: models, each with one of its sets of weights, or predictions that somebody has made."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, List, Mapping, Optional, Sequence, Tuple

from dl4mic_sdk import images
from dl4mic_sdk.model_record import kept_weights
from dl4mic_sdk.pairs import Item
from dl4mic_sdk.prediction_files import prediction_path
from dl4mic_sdk.qc.sample import Sample
from dl4mic_sdk.task import ModelFolder

if TYPE_CHECKING:
    from dl4mic_sdk.qc.kind import Kind

ALL_WEIGHTS = "all"
"""Stands for every kept set of weights."""

FINISHED = "predictions"
"""Name of predictions that no model of the job has made."""

_LONGEST_FOLDER = 100


@dataclass(frozen=True)
class Candidate:
    """Something that makes predictions.

    Attributes
    ----------
    label
        Names it in tables and pictures; differs from those of the others.
    predictions
        Folder of its predictions, named like the images.
    model
        The model that makes them; None where they were made before.
    """

    label: str
    predictions: Path
    model: Optional[ModelFolder] = None

    def facts(self, network: str) -> Dict[str, Any]:
        """Say in plain values what it is."""
        if self.model is None:
            return {"name": self.label, "weights": "", "network": ""}
        return {"name": self.model.name, "weights": self.model.weights, "network": network}

    def sample(self, item: Item, kind: Kind, sources: Mapping[str, Item]) -> Sample:
        """Read what was predicted of an image, what is right, and the image itself where the kind looks at it.

        Raises
        ------
        ImageError
            One of them cannot be read.
        """
        target = item.read_target() if item.target is not None else None
        prediction = self._prediction(item, kind)
        source = self._source(item, sources) if kind.needs_source else None
        return Sample(item.name, prediction, target, source)

    def with_source(self, sample: Sample, item: Item, sources: Mapping[str, Item]) -> Sample:
        """Add the image, for people to see; where it is not known nothing is added."""
        return replace(sample, source=sample.source or self._source(item, sources))

    def _prediction(self, item: Item, kind: Kind) -> images.Image:
        if self.model is None:
            return item.read_source()
        # Of label images the axes are known; others have the channels that the network gave them.
        axes = item.axes.replace("C", "") if kind.labels else ""
        return images.read(prediction_path(self.predictions, item.name), axes)

    def _source(self, item: Item, sources: Mapping[str, Item]) -> Optional[images.Image]:
        if self.model is not None:
            return item.read_source()
        apart = sources.get(item.name)
        return apart.read_source() if apart else None


def with_all_weights(model: ModelFolder) -> List[ModelFolder]:
    """Return a model with each of its sets of weights where all are asked for: best, last, by epoch.

    What it keeps is what its record says, or else what lies in its folder.
    """
    if model.weights != ALL_WEIGHTS:
        return [model]
    kept = [str(each) for each in model.record.get("weights") or kept_weights(model.path)]
    kept.sort(key=lambda each: (each.isdigit(), int(each) if each.isdigit() else 0, each))
    return [ModelFolder(model.name, model.path, each, model.record) for each in kept]


def candidates_of(models: Sequence[ModelFolder], output: Path) -> List[Candidate]:
    """Give each model a label and a folder of its own, where there are several; what is named twice counts once.

    Parameters
    ----------
    models
        As asked for.
    output
        Folder of all predictions; that of a single model.
    """
    unique: Dict[Tuple[Path, str], ModelFolder] = {}
    for each in models:
        unique.setdefault((each.path, each.weights), each)
    if len(unique) == 1:
        return [Candidate(models[0].name, output, models[0])]
    times = Counter(each.name for each in unique.values())
    candidates: List[Candidate] = []
    for model in unique.values():
        label = model.name if times[model.name] == 1 else _with_weights(model)
        folder = _free_folder(label, [each.predictions.name for each in candidates])
        candidates.append(Candidate(label, output / folder, model))
    return candidates


def _with_weights(model: ModelFolder) -> str:
    which = "epoch " + model.weights if model.weights.isdigit() else model.weights
    return "{} ({})".format(model.name, which)


def _free_folder(label: str, taken: Sequence[str]) -> str:
    """Turn a label into a name that every file system takes, and that no other folder has."""
    plain = re.sub(r"[^A-Za-z0-9._]+", "-", label).strip("-.")[-_LONGEST_FOLDER:] or "model"
    folder, number = plain, 2
    while folder.lower() in [each.lower() for each in taken]:
        folder, number = "{}-{}".format(plain, number), number + 1
    return folder
