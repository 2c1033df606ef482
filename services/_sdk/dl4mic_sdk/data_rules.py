# SPDX-License-Identifier: BSD-3-Clause
"""What a network needs of its data, and what is wrong with a file or a whole set that is not so. Pure functions."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple

from dl4mic_sdk.data_summary import DataSummary, FileFacts
from dl4mic_sdk.images import ImageInfo
from dl4mic_sdk.label_numbers import LARGEST_LABEL

PAIRED_WITH_IMAGES = ("paired_images", "binary_masks", "class_masks", "label_images")
MASKS = ("binary_masks", "class_masks", "label_images")
TARGETS_OF_IMAGES = PAIRED_WITH_IMAGES + ("unpaired_images",)
RESTORED = ("paired_images", "noisy_images")
WITHOUT_TARGET = ("images", "noisy_images")

PARTS_OF_BINARY_MASK = 3
"""So many separate parts that all have the same number are taken for objects that nobody numbered."""

_FULL_SCALES = tuple(float(2**bits - 1) for bits in (8, 10, 12, 14, 16))
"""The largest values of cameras and types."""

_LEAST_SATURATED = 1e-4

_NAMES_SAID = 5
_NUMBER_THEM = (
    "Give every object a number of its own, e.g. in Fiji with MorphoLibJ > Binary Images > "
    "Connected Components Labeling, and save as 16-bit TIFF."
)


@dataclass(frozen=True)
class Fault:
    """What is wrong with a file, and what would be right."""

    message: str
    hint: str = ""


@dataclass(frozen=True)
class Need:
    """What a request needs of its data.

    Attributes
    ----------
    supervision
        Lower-case name of the contract's kind.
    axes
        Accepted axes; empty: any.
    channel
        The channel to take of images with several.
    channel_selectable
        The network has a parameter ``channel``.
    patch
        Axis letter -> size of a patch, where the request gives it.
    pixels
        Pixels are to be read, not headers alone.
    model_channels
        Name of each model of the request -> the channels that its images have, where that is known.
    """

    supervision: str
    axes: Tuple[str, ...]
    channel: Optional[int]
    channel_selectable: bool
    patch: Mapping[str, int]
    pixels: bool
    model_channels: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, request: Mapping[str, Any], model_channels: Mapping[str, int]) -> Need:
        """Read it from `request.json` and the models' records."""
        manifest, parameters = request["manifest"], request["parameters"]
        predicting = request["verb"] == "predict"
        patch = None if request["verb"] != "train" else parameters.get("patch_size")
        return cls(
            supervision=supervision_of(request),
            axes=tuple(manifest.get("axes") or ()),
            channel=parameters.get("channel"),
            channel_selectable="channel" in parameters,
            patch=dict(zip("ZYX"[-len(patch) :], patch)) if patch else {},
            pixels=not predicting,
            model_channels=model_channels,
        )

    @property
    def masks(self) -> bool:
        """The targets are masks."""
        return self.supervision in MASKS

    @property
    def accepts_channels(self) -> bool:
        """Some accepted axes have C."""
        return not self.axes or any("C" in each for each in self.axes)


def supervision_of(request: Mapping[str, Any]) -> str:
    """Kind of supervision of the data of a request; a prediction has none.

    Restoration is scored against targets where they are given, whatever it was trained on, and without them otherwise.
    """
    supervision: str = request["manifest"]["supervision"]
    if request["verb"] == "predict":
        return "images"
    if request["verb"] == "qc" and supervision in RESTORED:
        if request["data"].get("target"):
            return "paired_images"
        return "images" if supervision == "paired_images" else supervision
    return supervision


def header_fault(info: ImageInfo, need: Need) -> Optional[Fault]:
    """Say what is wrong with the size and axes of an image."""
    sizes = dict(zip(info.axes, info.shape))
    if "C" in sizes and (need.channel is not None or not need.accepts_channels):
        if need.channel is None:
            return _channel_fault(sizes["C"], need)
        if need.channel >= sizes["C"]:
            text = "has {} channels, so there is no channel {} (they are counted from 0)"
            return Fault(text.format(sizes["C"], need.channel), "Choose another channel.")
    if planes_of(info.axes, need) is None:
        return _axes_fault(info, need)
    has = 1 if need.channel is not None else sizes.get("C", 1)
    for model, takes in need.model_channels.items():
        if has != takes:
            return _model_channels_fault(has, model, takes, need)
    if any(sizes.get(axis, 1) < size for axis, size in need.patch.items()):
        text = "is smaller ({}) than a patch of {}"
        message = text.format(said_size(info.axes, info.shape), _times(need.patch.values()))
        return Fault(message, "Lower patch_size, or leave the small images out.")
    return None


def planes_of(axes: str, need: Need) -> Optional[str]:
    """Return the axes along which an image is predicted plane by plane, of T and Z; None: it does not fit."""
    left = set(axes) - (set("C") if need.channel is not None else set())
    fitting = [each for each in need.axes if set(each) <= left <= set(each) | set("TZ")]
    if not need.axes or any(set(each) == left for each in fitting):
        return ""
    if need.pixels or not fitting:  # only a prediction takes planes apart
        return None
    largest = max(map(set, fitting), key=len)
    return "".join(each for each in axes if each in left - largest)


def pair_fault(source: ImageInfo, target: ImageInfo) -> Optional[Fault]:
    """Say how the size of a target differs from that of its image; channels may."""
    one, other = (
        {a: n for a, n in zip(each.axes, each.shape) if a != "C"} for each in (source, target)
    )
    if one == other:
        return None
    if {a for a in set(one) | set(other) if one.get(a) != other.get(a)} == {"Z"}:
        text = "has {}, but its image has {}"
        message = text.format(*(_counted(each.get("Z", 1), "slice") for each in (other, one)))
        return Fault(message, "Image and target must have the same slices: leave out the others.")
    text = "is {}, but its image is {}"
    message = text.format(
        said_size(target.axes, target.shape), said_size(source.axes, source.shape)
    )
    return Fault(
        message, "Image and target must show the same pixels: crop or resize the one as the other."
    )


def mask_header_fault(info: ImageInfo, need: Need) -> Optional[Fault]:
    """Say why a file cannot be a mask or label image."""
    what = "labels" if need.supervision == "label_images" else "masks"
    if "C" in info.axes:
        text = "is a colour image or has channels; {} have one number for each pixel"
        return Fault(
            text.format(what), "Save the numbers themselves, not a coloured picture of them."
        )
    if info.dtype.kind not in "uib":
        text = "its {} are {} numbers with decimals; they must be integers"
        hint = "Save them as 8- or 16-bit, e.g. in Fiji with Image > Type > 16-bit, scaling switched off."
        return Fault(text.format(what, info.dtype.name), hint)
    return None


def not_finite_fault(count: int) -> Optional[Fault]:
    """Say that pixels are NaN or infinite."""
    if not count:
        return None
    text = "has {} pixels that are NaN or infinite".format(count)
    return Fault(text, "Replace them by numbers, e.g. in Fiji with Process > Noise > Remove NaNs.")


def label_fault(minimum: float, maximum: float) -> Optional[Fault]:
    """Say that an object number is below 0, or larger than a label image of 32 bit holds."""
    if minimum < 0:
        text = "has a label {:g}; labels count from 0".format(minimum)
        return Fault(text, "Use 0 for background.")
    if maximum > LARGEST_LABEL:
        text = "has a label {:.0f}; labels go up to {}".format(maximum, LARGEST_LABEL)
        return Fault(text, "Number the objects from 1 on.")
    return None


def unnumbered(parts: Mapping[str, int], mask_count: int) -> Dict[str, Fault]:
    """Find the label images whose objects share one number: binary masks, given by mistake.

    Parameters
    ----------
    parts
        Path of each label image that holds a single number -> its separate parts.
    mask_count
        Label images with anything in them.
    """
    suspects = {path: count for path, count in parts.items() if count >= PARTS_OF_BINARY_MASK}
    if 2 * len(suspects) < mask_count and max(suspects.values(), default=0) < 10:
        return {}
    text = "is a binary mask: its {} separate parts all have the same number"
    return {path: Fault(text.format(count), _NUMBER_THEM) for path, count in suspects.items()}


def odd_axes(infos: Sequence[ImageInfo], channel: Optional[int]) -> Iterator[Tuple[str, Fault]]:
    """Yield the images whose axes, or whose number of channels where all are used, are not those of most."""
    if not infos:
        return
    kinds = [(each.axes, None if channel is not None else _channels(each)) for each in infos]
    axes, channels = Counter(kinds).most_common(1)[0][0]
    for each, kind in zip(infos, kinds):
        hint = "Put images of one kind only into a folder."
        if kind[0] != axes:
            text = "has the axes {}, most images have {}".format(each.axes, axes)
            yield str(each.path), Fault(text, hint)
        elif kind[1] != channels:
            text = "has {} channels, most images have {}".format(kind[1], channels)
            yield (
                str(each.path),
                Fault(text, hint + " Or choose a channel that all have: channel=0."),
            )


def _channels(info: ImageInfo) -> int:
    return dict(zip(info.axes, info.shape)).get("C", 1)


def warnings_of(summary: DataSummary) -> Iterator[Tuple[str, str]]:
    """Yield (code, message) of what is odd in a set that can be used."""
    sources = [each for each in summary.files if each.role == "source"]
    read = [each for each in sources if each.sha256]
    pictures = [each for each in summary.files if each.sha256 and each.foreground is None]
    constant = (each for each in pictures if each.minimum == each.maximum)
    yield from _about("CONSTANT_IMAGES", "Images with the same value everywhere", constant)
    saturated = (each for each in pictures if _is_saturated(each))
    yield from _about("SATURATED_IMAGES", "Images with saturated pixels", saturated, _said_share)
    if summary.supervision in RESTORED:
        negative = (each for each in pictures if each.minimum < 0)
        what = "Images with values below 0, which no camera gives: was a background taken off?"
        yield from _about("NEGATIVE_VALUES", what, negative, _said_minimum)
    masks = (each for each in summary.files if each.foreground == 0)
    yield from _about("EMPTY_MASKS", "Masks without any object", masks)
    yield from _about(
        "DUPLICATE_IMAGES", "Images with the pixels of another image", _repeated(read)
    )
    several = (each for each in summary.files if each.series > 1)
    what = "Files with several images (series), of which the first alone is taken"
    yield from _about("SEVERAL_SERIES", what, several, lambda each: " has {}".format(each.series))
    yield from _mixed_types(sources)


def _mixed_types(sources: Sequence[FileFacts]) -> Iterator[Tuple[str, str]]:
    usual = "".join(name for name, _ in Counter(each.dtype for each in sources).most_common(1))
    what = "Images of another type than {}, which most have: save all of them alike".format(usual)
    others = (each for each in sources if each.dtype != usual)
    yield from _about("MIXED_TYPES", what, others, lambda each: " is {}".format(each.dtype))


def said_size(axes: str, shape: Iterable[int]) -> str:
    """E.g. ``31 x 61 x 57 (ZYX)``."""
    return "{} ({})".format(_times(shape), axes)


def _channel_fault(count: int, need: Need) -> Fault:
    kind = "is an RGB image" if count == 3 else "has {} channels".format(count)
    message = "{}, but this network takes one channel".format(kind)
    if need.channel_selectable:
        return Fault(message, "Choose one: channel=0 to channel={}.".format(count - 1))
    return Fault(message, "Save one channel, e.g. in Fiji with Image > Color > Split Channels.")


def _model_channels_fault(has: int, model: str, takes: int, need: Need) -> Fault:
    text = "has {}, but model {} takes {}"
    message = text.format(_counted(has, "channel"), model, takes)
    if takes == 1 and need.channel_selectable:
        return Fault(message, "Choose one: channel=0 to channel={}.".format(has - 1))
    return Fault(message, "Give images with as many, or choose another model.")


def _counted(count: int, what: str) -> str:
    return "{} {}{}".format(count, what, "" if count == 1 else "s")


def _axes_fault(info: ImageInfo, need: Need) -> Fault:
    text = "is {}, but this network takes {}"
    message = text.format(said_size(info.axes, info.shape), " or ".join(need.axes))
    if len(info.axes) < min(len(each) for each in need.axes):
        return Fault(message, "Give stacks, or use a network for single planes.")
    hint = "Save single planes, or use a network for stacks."
    if need.channel_selectable and info.axes == "ZYX" and "YX" in need.axes:
        hint += " If its pages are channels, say axes=CYX and choose one with channel=."
    return Fault(message, hint)


def _is_saturated(facts: FileFacts) -> bool:
    return facts.maximum in _FULL_SCALES and facts.at_maximum >= _LEAST_SATURATED


def _said_share(facts: FileFacts) -> str:
    return " {:.2%} at {:g}".format(facts.at_maximum, facts.maximum)


def _said_minimum(facts: FileFacts) -> str:
    return " down to {:g}".format(facts.minimum)


def _about(
    code: str,
    what: str,
    files: Iterable[FileFacts],
    more_of: Callable[[FileFacts], str] = lambda each: "",
) -> Iterator[Tuple[str, str]]:
    names = [each.path.rsplit("/", 1)[-1] + more_of(each) for each in files]
    if names:
        more = len(names) - _NAMES_SAID
        said = ", ".join(names[:_NAMES_SAID]) + (" and {} more".format(more) if more > 0 else "")
        yield code, "{} ({}): {}.".format(what, len(names), said)


def _repeated(files: Iterable[FileFacts]) -> List[FileFacts]:
    seen: Dict[str, List[FileFacts]] = defaultdict(list)
    for each in files:
        seen[each.sha256].append(each)
    return [each for group in seen.values() for each in group[1:]]


def _times(numbers: Iterable[int]) -> str:
    return " x ".join(str(each) for each in numbers)
