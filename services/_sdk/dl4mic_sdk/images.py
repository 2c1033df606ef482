# SPDX-License-Identifier: BSD-3-Clause
"""Microscopy images in files: what they are, their pixels, and how they are written.

In memory an image has its axes in the order T, Z, C, Y, X (those it has), whatever the file's order is.
"""

from __future__ import annotations

import importlib
import os
import re
import unicodedata
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple, Union

import numpy as np

from dl4mic_sdk.errors import DataError, ImageError
from dl4mic_sdk.image_limits import refuse_absurd
from dl4mic_sdk.stored import Stored

AXES = "TZCYX"
"""Order of the axes in memory; ImageJ's order too."""

_FORMATS = {".tif": "tiff", ".tiff": "tiff", ".btf": "tiff", ".png": "png", ".npy": "npy"}
_OTHER_IMAGES = {
    ".jpg", ".jpeg", ".bmp", ".gif", ".czi", ".nd2", ".lif", ".lsm", ".oib", ".oif", ".ims"
}  # fmt: skip

_LET_READ = "Give the user that the server runs as the right to read it."

LARGEST_LABEL = 2**32 - 1
"""Of object numbers: the most that a label image of 32 bit holds."""

Region = Mapping[str, slice]
"""Part of an image: axis letter -> slice without step; axes left out are taken whole."""

PathLike = Union[str, Path]


@dataclass(frozen=True)
class ImageInfo:
    """What the header of an image file says.

    Attributes
    ----------
    path
        The file.
    axes
        Letters of T, Z, C, Y, X, in this order.
    shape
        Size along each of `axes`.
    dtype
        Type of the pixels, in the machine's byte order.
    pixel_size
        Axis letter -> µm (for T: s); axes whose size is not known are left out.
    """

    path: Path
    axes: str
    shape: Tuple[int, ...]
    dtype: np.dtype[Any]
    pixel_size: Mapping[str, float]


@dataclass(frozen=True)
class Image:
    """Pixels with their meaning.

    Attributes
    ----------
    pixels
        Array along `axes`; read-only where it is mapped from a file.
    axes, pixel_size
        As of `ImageInfo`.
    name
        Name of the file without folder and suffix.
    """

    pixels: np.ndarray
    axes: str
    pixel_size: Mapping[str, float] = field(default_factory=dict)
    name: str = ""

    def with_pixels(self, pixels: np.ndarray) -> Image:
        """Return other pixels along the same axes, of the same name and pixel size."""
        return replace(self, pixels=pixels)


def stem(path: PathLike) -> str:
    """Name of an image file without folder and suffix; ``.ome.tif`` counts as one suffix.

    Letters with accents are composed: macOS writes them in two characters, so that equal names would differ.
    """
    name = unicodedata.normalize("NFC", Path(path).name)
    base = Path(name).stem if Path(name).suffix.lower() in _FORMATS else name
    return base[:-4] if base.lower().endswith(".ome") else base


def list_images(folder: PathLike) -> List[Path]:
    """List the TIFF, PNG and NPY files of a folder in natural order (2 before 10).

    Hidden files and subfolders are left out; a file instead of a folder is a list of one.

    Raises
    ------
    DataError
        There is no such folder, it may not be read, or there is no image in it.
    """
    path = Path(folder)
    try:
        if path.is_file():
            return [path]
        if not path.is_dir():
            raise DataError("{} does not exist".format(path), "Give a folder of images.")
        visible = [each for each in path.iterdir() if not each.name.startswith(".")]
    except PermissionError as error:
        raise DataError("{} may not be read".format(path), _LET_READ) from error
    found = [each for each in visible if each.suffix.lower() in _FORMATS and each.is_file()]
    if not found:
        raise DataError("{} holds no image".format(path), _what_else(visible))
    return sorted(found, key=lambda each: natural_key(each.name))


def natural_key(name: str) -> Tuple[Tuple[int, int, str], ...]:
    """Key that sorts numbers within names by their value."""
    parts = re.split(r"(\d+)", name.lower())
    key = [(1, int(each), "") if each.isdecimal() else (0, 0, each) for each in parts]
    return tuple(key) + ((0, 0, name),)


def inspect(path: PathLike, axes: str = "") -> ImageInfo:
    """Read the header of an image.

    Parameters
    ----------
    path
        A TIFF (plain, ImageJ, OME, BigTIFF), PNG or NPY file.
    axes
        What the axes of the file are, slowest first; empty: as the file says. Where the file itself names the same
        axes in another order, the file is right.

    Raises
    ------
    ImageError
        The file is missing, unreadable, absurdly large, or has other axes.
    """
    with _opened(Path(path)) as stored:
        order = _order(Path(path), stored, axes)
        shape = tuple(stored.shape[index] for index in order.indices)
        return ImageInfo(Path(path), order.axes, shape, stored.dtype, dict(stored.pixel_size))


def read(
    path: PathLike,
    axes: str = "",
    region: Optional[Region] = None,
    channel: Optional[int] = None,
) -> Image:
    """Read an image, mapped into memory where the file allows it.

    Parameters
    ----------
    path, axes
        As of `inspect`.
    region
        The part to read; axes that the image does not have are passed over.
    channel
        Take this one of the channels; the result has no axis C.

    Raises
    ------
    ImageError
        As `inspect` does, and for damaged pixels or a missing channel.
    """
    path = Path(path)
    with _opened(path) as stored:
        order = _order(path, stored, axes)
        wanted = _wanted(path, stored, order, region, channel)
        pixels = _load(stored, order, wanted)
    names = order.axes
    if channel is not None and "C" in names:
        pixels = pixels.take(0, axis=names.index("C"))
        names = names.replace("C", "")
    return Image(_native(pixels), names, _sizes_of(stored.pixel_size, names), stem(path))


def write(
    path: PathLike, image: Image, label: bool = False, compress: Optional[bool] = None
) -> None:
    """Write an image as TIFF with axes and pixel size, as ImageJ reads it.

    The file takes its place when it is complete. What ImageJ's format cannot hold (32-bit integers, axes of length 1,
    more than 4 GB) becomes a plain (Big)TIFF that carries the same facts.

    Parameters
    ----------
    path
        The file; an existing one is replaced.
    image
        Axes in any order of T, Z, C, Y, X.
    label
        The pixels are object numbers: 16 bit, or 32 bit above 65535.
    compress
        Deflate without loss; by default for labels only.

    Raises
    ------
    ValueError
        Labels that `smallest_labels` refuses.
    """
    from dl4mic_sdk import tiff

    path = Path(path)
    pixels = smallest_labels(image.pixels) if label else image.pixels
    names = "".join(each for each in AXES if each in image.axes)
    pixels = np.transpose(pixels, [image.axes.index(each) for each in names])
    partial = path.with_name(".{}.partial".format(path.name))
    tiff.write(partial, pixels, names, image.pixel_size, label if compress is None else compress)
    os.replace(str(partial), str(path))


def smallest_labels(labels: np.ndarray) -> np.ndarray:
    """Return object numbers as uint16, or as uint32 when there are more than 65535.

    Raises
    ------
    ValueError
        They are negative, above `LARGEST_LABEL` or no integers.
    """
    if labels.dtype.kind not in "uib" or (labels.size and labels.min() < 0):
        raise ValueError("object numbers must be integers from 0, not {}".format(labels.dtype))
    largest = int(labels.max()) if labels.size else 0
    if largest > LARGEST_LABEL:
        raise ValueError("the object number {} is above {}".format(largest, LARGEST_LABEL))
    fits = largest <= np.iinfo(np.uint16).max
    return labels.astype(np.uint16 if fits else np.uint32, copy=False)


@dataclass(frozen=True)
class _Order:
    """Axes in memory, and which axis of the file each one is; the others of the file have length 1."""

    axes: str
    indices: Tuple[int, ...]


@contextmanager
def _opened(path: Path) -> Iterator[Stored]:
    """Open a file; whatever its reader finds wrong becomes an ImageError."""
    suffix = path.suffix.lower()
    if suffix not in _FORMATS:
        raise ImageError(path, "not an image that can be read", "Save it as TIFF, PNG or NPY.")
    form = importlib.import_module("dl4mic_sdk." + _FORMATS[suffix])
    try:
        with form.opened(path) as stored:
            refuse_absurd(path, stored)
            yield stored
    except (ImageError, MemoryError):
        raise
    except FileNotFoundError as error:
        raise ImageError(path, "there is no such file") from error
    except PermissionError as error:
        raise ImageError(path, "may not be read", _LET_READ) from error
    except Exception as error:  # the readers of damaged files raise whatever comes
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        hint = "The file is damaged or not what its name says; save it again."
        raise ImageError(path, "cannot be read ({})".format(reason), hint) from error


def _order(path: Path, stored: Stored, asked: str) -> _Order:
    lengths = list(zip(range(len(stored.shape)), stored.axes, stored.shape))
    if len(asked or stored.axes.replace("Q", "")) < len(lengths):
        lengths = [each for each in lengths if each[2] != 1 or (each[1] != "Q" and not asked)]
    names = "".join(each[1] for each in lengths)
    names = _asked(path, names, asked.upper(), stored) if asked else _guessed(path, names, stored)
    at = {name: each[0] for name, each in zip(names, lengths)}
    axes = "".join(each for each in AXES if each in at)
    return _Order(axes, tuple(at[each] for each in axes))


def _asked(path: Path, names: str, asked: str, stored: Stored) -> str:
    if len(asked) != len(names):
        text = "has {} axes ({}), but the axes {} were given"
        raise ImageError(
            path,
            text.format(len(names), _sizes(stored.shape), asked),
            "Give the axes that the files have.",
        )
    if not set("YX") <= set(asked) <= set(AXES) or len(set(asked)) < len(asked):
        hint = "Use each of T, C, Z, Y, X once at most, Y and X always."
        raise ImageError(path, "{} are no axes".format(asked), hint)
    return names if set(names) == set(asked) else asked


def _guessed(path: Path, names: str, stored: Stored) -> str:
    """Name the one axis that a file leaves open: pages that nobody named are planes of a stack."""
    free = [each for each in "ZT" if each not in names]
    if names.count("Q") == 1 and free and names.endswith(("YX", "YXC")):
        names = names.replace("Q", free[0])
    if "Q" in names or len(set(names)) < len(names) or not set("YX") <= set(names):
        text = "does not say what its axes of {} are".format(_sizes(stored.shape))
        raise ImageError(path, text, "Give the axes, e.g. axes=TZYX.")
    return names


def _wanted(
    path: Path, stored: Stored, order: _Order, region: Optional[Region], channel: Optional[int]
) -> List[slice]:
    """Slice along each axis of the file."""
    slices = dict(region or {})
    if channel is not None and "C" in order.axes:
        slices["C"] = _channel_slice(
            path, stored.shape[order.indices[order.axes.index("C")]], channel
        )
    wanted = [slice(0, length) for length in stored.shape]
    for name, index in zip(order.axes, order.indices):
        wanted[index] = slice(*slices.get(name, slice(None)).indices(stored.shape[index])[:2])
    return wanted


def _channel_slice(path: Path, count: int, channel: int) -> slice:
    if 0 <= channel < count:
        return slice(channel, channel + 1)
    text = "has {} channels, so there is no channel {}".format(count, channel)
    raise ImageError(path, text, "Channels are counted from 0.")


def _load(stored: Stored, order: _Order, wanted: Sequence[slice]) -> np.ndarray:
    """Load what is wanted and bring the axes into their order; other axes have length 1."""
    pixels = stored.load(wanted[0])[(slice(None),) + tuple(wanted[1:])]
    others = tuple(each for each in range(pixels.ndim) if each not in order.indices)
    shape = tuple(pixels.shape[each] for each in order.indices)
    return pixels.transpose(order.indices + others).reshape(shape)


def _native(pixels: np.ndarray) -> np.ndarray:
    return pixels if pixels.dtype.isnative else pixels.astype(pixels.dtype.newbyteorder("="))


def _sizes_of(pixel_size: Mapping[str, float], axes: str) -> Dict[str, float]:
    return {axis: size for axis, size in pixel_size.items() if axis in axes}


def _sizes(shape: Sequence[int]) -> str:
    return " x ".join(str(each) for each in shape)


def _what_else(files: Sequence[Path]) -> str:
    others = sorted({each.suffix.lower() for each in files} & _OTHER_IMAGES)
    if others:
        return "It holds {} files; save them as TIFF, e.g. with Fiji.".format(", ".join(others))
    if any(each.is_dir() for each in files):
        return "It holds folders only; give the folder with the images itself. TIFF, PNG and NPY are read."
    return "Images are files named .tif, .tiff, .png or .npy."
