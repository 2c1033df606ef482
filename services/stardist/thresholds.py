# SPDX-License-Identifier: BSD-3-Clause
"""Chooses probability and overlap threshold on the validation images, by the library's own search."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, List, Sequence, Tuple

import numpy as np
from segmentation import tiles_of
from stardist.nms import _ind_prob_thresh
from stardist.utils import fill_label_holes, optimize_threshold

from dl4mic_keras.framework import quiet
from dl4mic_sdk.context import Context
from dl4mic_sdk.normalisation import Normalisation
from dl4mic_sdk.pairs import Item

FILE_NAME = "thresholds.json"
OVERLAPS = (0.3, 0.4, 0.5)
IOUS = (0.3, 0.5, 0.7)
"""Both as in the library's `optimize_thresholds`."""

MOST_PROPOSALS, MOST_PIXELS = 250_000, 16_000_000
"""Once validation images hold so many, further ones are left out: they would cost memory and change little."""

_Proposals = Tuple[np.ndarray, Tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Thresholds:
    """What counts as an object.

    Attributes
    ----------
    prob
        Least probability.
    nms
        Overlap (IoU) from which on two proposals are taken for one object.
    """

    prob: float = 0.5
    nms: float = 0.4

    def save(self, folder: Path) -> None:
        """Write them where the library looks for them."""
        (folder / FILE_NAME).write_text(json.dumps(asdict(self)), encoding="utf-8")


class _Sparse:
    """Stands in for the model in the library's search: turns kept proposals into a label image."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def _instances_from_prediction(
        self,
        shape: Sequence[int],
        probability: np.ndarray,
        proposed: Tuple[np.ndarray, np.ndarray],
        prob_thresh: float,
        nms_thresh: float,
    ) -> Any:
        likely = probability > prob_thresh
        distances, points = proposed
        return self._model._instances_from_prediction(
            shape,
            probability[likely],
            distances[likely],
            points=points[likely],
            prob_thresh=prob_thresh,
            nms_thresh=nms_thresh,
        )


def choose_thresholds(
    model: Any, items: Sequence[Item], normalisation: Normalisation, ctx: Context
) -> Thresholds:
    """Search the thresholds that match most objects, averaged over three IoU levels.

    Only proposals above half of the highest probability are kept, the lower end of the library's search; dense
    predictions of all images would not fit into memory.

    Parameters
    ----------
    model
        With the weights to choose for.
    items
        Validation images; never test images.
    normalisation
        As in training.
    ctx
        Is told of the progress, and asks to stop.
    """
    truths: List[np.ndarray] = []
    proposals: List[_Proposals] = []
    for number, item in enumerate(items):
        if _enough(truths, proposals):
            ctx.log.info("choosing thresholds on %d of %d validation images", number, len(items))
            break
        ctx.raise_if_stopping()
        ctx.progress(number, len(items), "images", "choosing thresholds")
        truths.append(fill_label_holes(item.read_target().pixels.astype(np.int32)))
        proposals.append(_propose(model, normalisation.normalised(item.read_source())))
    if not any(each[0].size for each in proposals):
        ctx.warning("NO_OBJECTS_PROPOSED", "no object was found in the validation images")
        return Thresholds()
    return _search(model, truths, proposals, ctx)


def _enough(truths: Sequence[np.ndarray], proposals: Sequence[_Proposals]) -> bool:
    pixels, proposed = sum(each.size for each in truths), sum(each[0].size for each in proposals)
    return pixels >= MOST_PIXELS or proposed >= MOST_PROPOSALS


def _propose(model: Any, pixels: np.ndarray) -> _Proposals:
    spatial = pixels.shape[: model.config.n_dim]
    tiles = tiles_of(model, spatial) + (1,) * (pixels.ndim - len(spatial))
    probability, distances = model.predict(pixels, n_tiles=tiles)
    likely = _ind_prob_thresh(probability, probability.max() / 2)
    points = np.stack(np.nonzero(likely), axis=1) * np.array(model.config.grid)
    return probability[likely], (distances[likely], points)


def _search(
    model: Any, truths: List[np.ndarray], proposals: List[_Proposals], ctx: Context
) -> Thresholds:
    best, highest = Thresholds(), -np.inf
    likeliest = float(max(each[0].max(initial=0.0) for each in proposals))
    for overlap in OVERLAPS:
        ctx.raise_if_stopping()
        with quiet():
            found, score = optimize_threshold(
                truths,
                proposals,
                _Sparse(model),
                nms_thresh=overlap,
                iou_threshs=IOUS,
                bracket=(likeliest / 2, likeliest),
                verbose=0,
            )
        if score > highest:
            best, highest = Thresholds(float(found), overlap), score
    ctx.log.info("thresholds %s score %.3f on the validation images", best, highest)
    return best
