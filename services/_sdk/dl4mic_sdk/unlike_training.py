# SPDX-License-Identifier: BSD-3-Clause
"""Are the images of a prediction like those that its model was trained on? Asked of a few, before work starts."""

from __future__ import annotations

from statistics import median
from typing import Any, Iterator, Mapping, Sequence, Tuple

import numpy as np

from dl4mic_sdk.data_summary import DataSummary
from dl4mic_sdk.pairs import Item
from dl4mic_sdk.qc.warning_rules import (
    LARGEST_RATIO_OF_PIXEL_SIZES,
    ImageFacts,
    differ,
    facts_of,
    unlike_intensities,
)
from dl4mic_sdk.restoration_survey import chosen, plane_of


def about_training_data(
    summary: DataSummary, name: str, trained_on: Mapping[str, Any]
) -> Iterator[Tuple[str, str]]:
    """Yield (code, message) of what is unlike the training images of a model.

    Parameters
    ----------
    summary
        Of the images to be predicted.
    name
        Of the model.
    trained_on
        What its record says of its data; what that lacks is not known.
    """
    trained = facts_of(trained_on)
    unlike = unlike_intensities(_seen(summary.items), trained)
    if unlike is not None:
        text = "{} {:.4g} in these images, {:.4g} in those that {} was trained on."
        yield "INTENSITIES_UNLIKE_TRAINING", text.format(*unlike, name)
    for axis in sorted(set(summary.pixel_size) & set(trained.pixel_size)):
        one, other = summary.pixel_size[axis], trained.pixel_size[axis]
        if differ(one, other, LARGEST_RATIO_OF_PIXEL_SIZES):
            text = "A pixel measures {:.4g} µm along {} in these images, {:.4g} µm in those that {} was trained on."
            yield "PIXEL_SIZE_UNLIKE_TRAINING", text.format(one, axis, other, name)


def _seen(items: Sequence[Item]) -> ImageFacts:
    """Typical intensities of an image, by the percentiles that `qc.warning_rules.facts_of` takes."""
    planes = (plane_of(each) for each in chosen(items))
    found = [np.percentile(each, (1, 50, 99.9)) for each in planes if each is not None]
    if not found:
        return ImageFacts()
    span = median(float(high - low) for low, _, high in found)
    return ImageFacts(intensity=span, level=median(float(level) for _, level, _ in found))
