# SPDX-License-Identifier: BSD-3-Clause
"""When scores deserve less trust than they seem to: the warnings of quality control.

Each rule is a pure function that yields the warnings that apply; codes never change their meaning.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Iterator, List, Mapping, Optional, Sequence, Tuple

FEWEST_IMAGES = 5
LEAST_FOREGROUND = 0.05
LARGEST_RATIO_OF_INTENSITIES = 3.0
LARGEST_OFFSET = 1.0
"""Of median intensities, in the wider of the two spans: a typical pixel then lies outside of all that was learned."""

LARGEST_RATIO_OF_PIXEL_SIZES = 1.25
FEWEST_EPOCHS = 8
"""Fewer epochs say nothing about the course of a loss."""

OVERFITTED_RISE = 1.1
UNDERFITTED_FALL = 0.95
TRAINED_ON = "QC_IMAGES_WERE_TRAINED_ON"

_LAST = 3
_NAMES_SHOWN = 5


@dataclass(frozen=True)
class QcWarning:
    """Something that a reader of the scores must know.

    Attributes
    ----------
    code
        Stable, for programs.
    message
        For people.
    """

    code: str
    message: str


@dataclass(frozen=True)
class ImageFacts:
    """What the rules need to know about a set of images.

    Attributes
    ----------
    fingerprints
        Fingerprint of an image's content -> its name.
    intensity
        Typical span of intensities in an image (bright end minus dark end); None if not known.
    pixel_size
        Axis letter -> µm; unknown ones left out.
    level
        Typical median intensity; None if not known.
    """

    fingerprints: Mapping[str, str] = field(default_factory=dict)
    intensity: Optional[float] = None
    pixel_size: Mapping[str, float] = field(default_factory=dict)
    level: Optional[float] = None


def facts_of(data: Mapping[str, Any]) -> ImageFacts:
    """Take the facts out of the record of a data summary; what it lacks is not known."""
    sources = [
        each for each in data.get("files", ()) if each["role"] == "source" and each["sha256"]
    ]
    percentiles = data.get("intensity") or {}
    known = "1" in percentiles and "99.9" in percentiles
    return ImageFacts(
        fingerprints={each["sha256"]: Path(each["path"]).name for each in sources},
        intensity=percentiles["99.9"] - percentiles["1"] if known else None,
        pixel_size=data.get("pixel_size") or {},
        level=percentiles.get("50"),
    )


def about_amount(images: int, foreground: Optional[float]) -> Iterator[QcWarning]:
    """Warn of few images and of little foreground (a share in 0..1)."""
    if images < FEWEST_IMAGES:
        text = "Only {} {} scored: the numbers may be chance. Test on at least {} images."
        was = "image was" if images == 1 else "images were"
        yield QcWarning("QC_FEW_IMAGES", text.format(images, was, FEWEST_IMAGES))
    if foreground is not None and foreground < LEAST_FOREGROUND:
        text = (
            "Only {:.1%} of the targets' pixels are foreground (less than {:.0%}): few objects "
            "decide the numbers."
        )
        yield QcWarning("QC_LITTLE_FOREGROUND", text.format(foreground, LEAST_FOREGROUND))


def about_failures(failed: Sequence[str], undefined: Sequence[str]) -> Iterator[QcWarning]:
    """Warn of images that could not be scored, and of those that have nothing to score."""
    if failed:
        text = "Left out, because prediction or comparison failed ({}): {}."
        yield QcWarning("QC_IMAGES_FAILED", text.format(_images(failed), _named(failed)))
    if undefined:
        text = "Left out of the means, because there is nothing to score ({}): {}."
        yield QcWarning("QC_EMPTY_IMAGES", text.format(_images(undefined), _named(undefined)))


def about_gain(
    scores: Mapping[str, Tuple[Optional[float], Optional[float]]],
) -> Iterator[QcWarning]:
    """Warn of predictions that are worse than what they were made of.

    Parameters
    ----------
    scores
        What a number is called, of which more is better -> of predictions and of sources; None: it is not defined.
    """
    worse = [
        "{} {:.4g}, source {:.4g}".format(name, score, source)
        for name, (score, source) in scores.items()
        if score is not None and source is not None and score < source
    ]
    if worse:
        text = (
            "Predictions are worse than the images that they were made of ({}): the training was too short, or of "
            "other images. Do not use them."
        )
        yield QcWarning("QC_WORSE_THAN_SOURCE", text.format("; ".join(worse)))


def about_training_data(test: ImageFacts, trained: ImageFacts) -> Iterator[QcWarning]:
    """Warn of test images that the model has seen, or that are unlike what it has seen."""
    seen = sorted(
        test.fingerprints[each] for each in set(test.fingerprints) & set(trained.fingerprints)
    )
    if seen:
        text = "{} used to train the model, so that the numbers are too good: {}."
        was = "1 test image was" if len(seen) == 1 else "{} test images were".format(len(seen))
        yield QcWarning(TRAINED_ON, text.format(was, _named(seen)))
    unlike = unlike_intensities(test, trained)
    if unlike is not None:
        message = "{} {:.4g} in the test images, {:.4g} in the training images.".format(*unlike)
        yield QcWarning("QC_INTENSITIES_UNLIKE_TRAINING", message)
    for axis in sorted(set(test.pixel_size) & set(trained.pixel_size)):
        one, other = test.pixel_size[axis], trained.pixel_size[axis]
        if differ(one, other, LARGEST_RATIO_OF_PIXEL_SIZES):
            text = "A pixel measures {:.4g} µm along {} in the test images, {:.4g} µm in training."
            yield QcWarning("QC_PIXEL_SIZE_UNLIKE_TRAINING", text.format(one, axis, other))


def about_loss(history: Sequence[Mapping[str, float]]) -> Iterator[QcWarning]:
    """Warn of over- and under-fitting that shows in the loss record.

    Parameters
    ----------
    history
        One row an epoch, with ``loss`` and, where there was validation, ``val_loss``.

    Notes
    -----
    Over-fitted: the mean validation loss of the last three epochs lies 10 % above its lowest value,
    the training loss below what it was then. Under-fitted: the lowest loss of the last quarter of
    the epochs lies 5 % below that of the epochs before, so that training ended while it still
    paid. Both thresholds are rules of thumb.
    """
    losses = _column(history, "loss")
    validation = _column(history, "val_loss")
    watched = validation or losses
    if len(watched) < FEWEST_EPOCHS:
        return
    lowest = min(range(len(watched)), key=watched.__getitem__)
    if validation and len(losses) == len(validation):
        rise = _mean(validation[-_LAST:]) / validation[lowest] if validation[lowest] > 0 else 0.0
        if rise > OVERFITTED_RISE and _mean(losses[-_LAST:]) < losses[lowest]:
            text = (
                "Over-fitting: the validation loss ended {:.0%} above its lowest value (epoch {}) "
                "while the training loss fell. More or augmented data helps; prefer the best weights."
            )
            yield QcWarning("MODEL_OVERFITTED", text.format(rise - 1, lowest + 1))
    late = len(watched) - len(watched) // 4
    before, after = min(watched[:late]), min(watched[late:])
    if before > 0 and after < UNDERFITTED_FALL * before:
        text = (
            "Under-fitting: the loss still fell by {:.0%} in the last quarter of the training. Train "
            "for more epochs."
        )
        yield QcWarning("MODEL_UNDERFITTED", text.format(1 - after / before))


def unlike_intensities(
    images: ImageFacts, trained: ImageFacts
) -> Optional[Tuple[str, float, float]]:
    """Return what differs of the intensities, in words, and its two values; None where they are alike or not known.

    Networks that normalise by the training's mean and deviation, as Noise2Void, see an offset as they see a factor.
    """
    spans = images.intensity, trained.intensity
    if spans[0] is None or spans[1] is None:
        return None
    if differ(*spans, LARGEST_RATIO_OF_INTENSITIES):
        return "The intensities span", spans[0], spans[1]
    if images.level is None or trained.level is None:
        return None
    if abs(images.level - trained.level) > LARGEST_OFFSET * max(spans[0], spans[1]) > 0:
        return "The median intensity is", images.level, trained.level
    return None


def differ(one: Optional[float], other: Optional[float], largest_ratio: float) -> bool:
    """Whether two positive values are further apart than a ratio; unknown ones are not."""
    if not one or not other or min(one, other) <= 0:
        return False
    return max(one, other) / min(one, other) > largest_ratio


def _column(history: Sequence[Mapping[str, float]], name: str) -> List[float]:
    return [row[name] for row in history if name in row]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _images(names: Sequence[str]) -> str:
    return "1 image" if len(names) == 1 else "{} images".format(len(names))


def _named(names: Sequence[str]) -> str:
    more = len(names) - _NAMES_SHOWN
    return ", ".join(names[:_NAMES_SHOWN]) + (" and {} more".format(more) if more > 0 else "")
