# SPDX-License-Identifier: BSD-3-Clause
"""Microscopy images in files: what they are, their pixels, and how they are written.

In memory an image has its axes in the order T, Z, C, Y, X (those it has), whatever the file's order is.
"""

from __future__ import annotations

import importlib
import os
import re
import unicodedata
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple, Union

import numpy as np

from dl4mic_sdk.axis_order import AXES, Order, Region, load, order_of, wanted_of
from dl4mic_sdk.errors import DataError, ImageError
from dl4mic_sdk.image_limits import refuse_absurd
from dl4mic_sdk.label_numbers import label_type, smallest_labels
from dl4mic_sdk.stored import Stored
from dl4mic_sdk.tiff_metadata import Metadata

_FORMATS = {".tif": "tiff", ".tiff": "tiff", ".btf": "tiff", ".png": "png", ".npy": "npy"}
_OTHER_IMAGES = {
    ".jpg", ".jpeg", ".bmp", ".gif", ".czi", ".nd2", ".lif", ".lsm", ".oib", ".oif", ".ims"
}  # fmt: skip

_LET_READ = "Give the user that the server runs as the right to read it."

_BAND_BYTES = 2 << 20
"""Of a large image in memory at once; what counts its pixels takes some times as much."""

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
    series
        Images that the file holds; only the first of them is read.
    """

    path: Path
    axes: str
    shape: Tuple[int, ...]
    dtype: np.dtype[Any]
    pixel_size: Mapping[str, float]
    series: int = 1


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
    position
        Where a plane lies in the stack or series that it is of: axis letter -> index from 0.
    labels_before
        Objects that were found in the planes before it, for names of files that number objects.
    metadata
        What is written into a file beside axes and pixel size; an image that was read has none.
    """

    pixels: np.ndarray
    axes: str
    pixel_size: Mapping[str, float] = field(default_factory=dict)
    name: str = ""
    position: Mapping[str, int] = field(default_factory=dict)
    labels_before: int = 0
    metadata: Optional[Metadata] = None

    def with_pixels(self, pixels: np.ndarray) -> Image:
        """Return other pixels along the same axes, of the same name and pixel size."""
        return replace(self, pixels=pixels)


@dataclass(frozen=True)
class ImageOnDisk:
    """An image whose pixels stay on disk; parts of it are read when they are asked for.

    Attributes
    ----------
    axes, shape, dtype, pixel_size
        As of `ImageInfo`.
    read
        Returns a copy of a region, along `axes`.
    name, position, labels_before, metadata
        As of `Image`.
    """

    axes: str
    shape: Tuple[int, ...]
    dtype: np.dtype[Any]
    pixel_size: Mapping[str, float]
    read: Callable[[Region], np.ndarray]
    name: str = ""
    position: Mapping[str, int] = field(default_factory=dict)
    labels_before: int = 0
    metadata: Optional[Metadata] = None

    def whole(self) -> Image:
        """Read all of it into memory."""
        pixels = self.read({})
        about = (self.axes, self.pixel_size, self.name, self.position, self.labels_before)
        return Image(pixels, *about, self.metadata)

    def bands(self) -> Iterator[np.ndarray]:
        """Read all of it, some rows of one plane after the other."""
        sizes = dict(zip(self.axes, self.shape))
        outer = [axis for axis in self.axes if axis not in "CYX"]
        row = self.dtype.itemsize * sizes.get("C", 1) * max(1, sizes["X"])
        rows = max(1, _BAND_BYTES // row)
        for place in np.ndindex(*(sizes[axis] for axis in outer)):
            plane = {axis: slice(index, index + 1) for axis, index in zip(outer, place)}
            for start in range(0, sizes["Y"], rows):
                yield self.read(dict(plane, Y=slice(start, start + rows)))


def stem(path: PathLike) -> str:
    """Name of an image file without folder and suffix; ``.ome.tif`` counts as one suffix.

    Letters with accents are composed: macOS writes them in two characters, so that equal names would differ.
    """
    name = unicodedata.normalize("NFC", Path(path).name)
    base = Path(name).stem if Path(name).suffix.lower() in _FORMATS else name
    return base[:-4] if base.lower().endswith(".ome") else base


def list_images(folder: PathLike) -> List[Path]:
    """List the TIFF, PNG and NPY files of a folder in natural order (2 before 10).

    Hidden files are left out, and what is no file, whatever its name: subfolders, pipes, devices, links that lead
    nowhere. A file instead of a folder is a list of one.

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
            what = "is neither a file nor a folder" if path.exists() else "does not exist"
            raise DataError("{} {}".format(path, what), "Give a folder of images.")
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
    with _opened(Path(path)) as stored, _faults_of(Path(path)):
        order = order_of(Path(path), stored, axes)
        shape = tuple(stored.shape[index] for index in order.indices)
        sizes = dict(stored.pixel_size)
        return ImageInfo(Path(path), order.axes, shape, stored.dtype, sizes, stored.series)


@contextmanager
def opened(path: PathLike, axes: str = "", channel: Optional[int] = None) -> Iterator[ImageOnDisk]:
    """Keep an image file open, to read it part by part; parameters and errors are those of `read`."""
    path = Path(path)
    with _opened(path) as stored:
        with _faults_of(path):
            order = order_of(path, stored, axes)
            wanted_of(path, stored, order, None, channel)
        names = order.axes.replace("C", "") if channel is not None else order.axes
        at = dict(zip(order.axes, order.indices))

        def load(region: Region) -> np.ndarray:
            with _faults_of(path):
                return np.array(_read(path, stored, order, region, channel))

        yield ImageOnDisk(
            axes=names,
            shape=tuple(stored.shape[at[each]] for each in names),
            dtype=stored.dtype,
            pixel_size=_sizes_of(stored.pixel_size, names),
            name=stem(path),
            read=load,
        )


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
    with _opened(path) as stored, _faults_of(path):
        order = order_of(path, stored, axes)
        pixels = _read(path, stored, order, region, channel)
        names = order.axes.replace("C", "") if channel is not None else order.axes
        return Image(pixels, names, _sizes_of(stored.pixel_size, names), stem(path))


def write(
    path: PathLike,
    image: Union[Image, ImageOnDisk],
    label: bool = False,
    compress: Optional[bool] = None,
) -> None:
    """Write an image as TIFF with axes and pixel size, as ImageJ reads it.

    The file takes its place when it is complete. What ImageJ's format cannot hold (32-bit integers, axes of length 1,
    more than 4 GB) becomes a plain (Big)TIFF that carries the same facts.

    Parameters
    ----------
    path
        The file; an existing one is replaced.
    image
        Axes in any order of T, Z, C, Y, X. One on disk is written strip by strip; as labels it holds none below 0.
    label
        The pixels are object numbers: 16 bit, or 32 bit above 65535.
    compress
        Deflate without loss; by default for labels only.

    Raises
    ------
    ValueError
        Labels that `smallest_labels` refuses.
    """
    path = Path(path)
    partial = path.with_name(".{}.partial".format(path.name))
    if isinstance(image, ImageOnDisk):
        _write_from_disk(partial, image, label, label if compress is None else compress)
    else:
        _write(partial, image, label, label if compress is None else compress)
    os.replace(str(partial), str(path))


def _write(path: Path, image: Image, label: bool, compress: bool) -> None:
    from dl4mic_sdk import tiff

    pixels = smallest_labels(image.pixels) if label else image.pixels
    names = "".join(each for each in AXES if each in image.axes)
    pixels = np.transpose(pixels, [image.axes.index(each) for each in names])
    tiff.write(path, pixels, names, image.pixel_size, compress, image.metadata)


def _write_from_disk(path: Path, image: ImageOnDisk, label: bool, compress: bool) -> None:
    from dl4mic_sdk import tiff

    dtype = image.dtype
    if label:
        largest = max((int(each.max()) for each in image.bands()), default=0)
        dtype = label_type(largest)
    form = tiff.Form(image.axes, image.shape, dtype, image.pixel_size, image.metadata)
    tiff.write_parts(path, image.read, form, compress)


@contextmanager
def _opened(path: Path) -> Iterator[Stored]:
    """Open a file; what is wrong with it becomes an ImageError."""
    suffix = path.suffix.lower()
    if suffix not in _FORMATS:
        raise ImageError(path, "not an image that can be read", "Save it as TIFF, PNG or NPY.")
    form = importlib.import_module("dl4mic_sdk." + _FORMATS[suffix])
    with ExitStack() as stack:
        try:
            with _faults_of(path):
                stored = stack.enter_context(form.opened(path))
                refuse_absurd(path, stored)
        except MemoryError as error:
            text = "its header asks for more memory than there is"
            raise ImageError(path, text, "The file is damaged; save it again.") from error
        yield stored


@contextmanager
def _faults_of(path: Path) -> Iterator[None]:
    """Turn whatever a reader finds wrong with a file into an ImageError."""
    try:
        yield
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


def _read(
    path: Path, stored: Stored, order: Order, region: Optional[Region], channel: Optional[int]
) -> np.ndarray:
    """Load a region with its axes in their order, without the axis C where a channel is taken of it."""
    pixels = load(stored, order, wanted_of(path, stored, order, region, channel))
    if channel is not None and "C" in order.axes:
        pixels = pixels.take(0, axis=order.axes.index("C"))
    return _native(pixels)


def _native(pixels: np.ndarray) -> np.ndarray:
    return pixels if pixels.dtype.isnative else pixels.astype(pixels.dtype.newbyteorder("="))


def _sizes_of(pixel_size: Mapping[str, float], axes: str) -> Dict[str, float]:
    return {axis: size for axis, size in pixel_size.items() if axis in axes}


def _what_else(files: Sequence[Path]) -> str:
    others = sorted({each.suffix.lower() for each in files} & _OTHER_IMAGES)
    if others:
        return "It holds {} files; save them as TIFF, e.g. with Fiji.".format(", ".join(others))
    named = [each.name for each in files if each.suffix.lower() in _FORMATS and not each.is_dir()]
    if named:
        return min(named) + " is no file but a link that leads nowhere, a pipe or a device."
    if any(each.is_dir() for each in files):
        return "It holds folders only; give the folder with the images itself. TIFF, PNG and NPY are read."
    return "Images are files named .tif, .tiff, .png or .npy."
