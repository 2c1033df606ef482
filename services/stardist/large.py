# SPDX-License-Identifier: BSD-3-Clause
"""Predicts an image that stays on disk; its labels, table and regions of interest are files that grow."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Mapping, Optional

import numpy as np
from objects import Objects, measure
from rois import RoiArchive
from segmentation import Segmenter
from tiled import Part

from dl4mic_sdk.array_on_disk import ArrayOnDisk
from dl4mic_sdk.images import ImageOnDisk
from dl4mic_sdk.normalisation import channels_last
from dl4mic_sdk.prediction import Prediction
from dl4mic_sdk.prediction_files import TableFile


def predict_large(
    segmenter: Segmenter, parameters: Mapping[str, Any], image: ImageOnDisk, scratch: Path
) -> Optional[Prediction]:
    """Find the objects of a large 2D image, and measure them.

    Parameters
    ----------
    segmenter
        With the model.
    parameters
        ``object_table`` and ``rois``: what to write.
    image
        Read tile by tile.
    scratch
        Empty folder.

    Returns
    -------
    Prediction or None
        Objects are numbered from tile to tile. None: `Segmenter.segment` can do the image as a whole.
    """
    axes = image.axes.replace("C", "")
    shape = [n for axis, n in zip(image.axes, image.shape) if axis != "C"]
    labels = ArrayOnDisk(scratch / "labels", shape, np.uint32)
    found = segmenter.segment_large(image, labels, scratch)
    if found is None:
        return None
    results = _Files(parameters, image, labels, scratch)
    for part in found.parts():
        results.add(part)
    whole = labels.as_image(axes, image.pixel_size, image.name)
    return Prediction({"labels": whole}, labels=True, files=results.close())


class _Files:
    """The table and the regions of one image."""

    def __init__(
        self, parameters: Mapping[str, Any], image: ImageOnDisk, labels: ArrayOnDisk, folder: Path
    ) -> None:
        self._image = image
        self._labels = labels
        self._files: Dict[str, Path] = {}
        self._table: Optional[TableFile] = None
        self._rois: Optional[RoiArchive] = None
        if parameters.get("object_table"):
            self._files["_objects.csv"] = folder / "objects.csv"
            self._table = TableFile(folder / "objects.csv")
            self._table.add(measure(_nothing(), np.zeros((1, 1)), {}))
        if parameters.get("rois"):
            self._files["_rois.zip"] = folder / "rois.zip"
            self._rois = RoiArchive(folder / "rois.zip", image.position)

    def add(self, part: Part) -> None:
        """Measure the objects of a tile where they were drawn."""
        region = part.region(self._labels.shape)
        own = self._labels[region].astype(np.int64) - part.before
        own[(own < 0) | (own > len(part.probability))] = 0
        origin = tuple(each.start for each in region)
        objects = Objects(own, part.probability, part.outlines, origin, part.before)
        if self._table is not None:
            pixels = self._image.read(dict(zip("YX", region)))
            pixels = channels_last(pixels, self._image.axes)
            self._table.add(measure(objects, pixels, self._image.pixel_size))
        if self._rois is not None:
            present = objects.present
            names = present + part.before + self._image.labels_before
            self._rois.add(part.outlines[present - 1], names)

    def close(self) -> Mapping[str, Path]:
        """Complete the files; return them by the ending of their names."""
        if self._rois is not None:
            self._rois.close()
        return self._files


def _nothing() -> Objects:
    return Objects(np.zeros((1, 1), np.int32), np.zeros(0, np.float32))
