# SPDX-License-Identifier: BSD-3-Clause
"""TIFF files: plain, of ImageJ, OME and BigTIFF; their axes and pixel size, read and written."""

from __future__ import annotations

import errno
import inspect
import os
import xml.etree.ElementTree as ElementTree
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, Mapping, Optional, Tuple

import numpy as np
import tifffile

from dl4mic_sdk import tiff_parts
from dl4mic_sdk.axis_order import Region
from dl4mic_sdk.stored import Stored
from dl4mic_sdk.tiff_metadata import Metadata

_STRIP_BYTES = 1 << 18
_TAKES_STRIPS = int(tifffile.__version__.split(".")[0]) >= 2023

_MOST_IMAGEJ_BYTES = 4_000_000_000
_IMAGEJ_TYPES = ("uint8", "uint16", "float32")
_CENTIMETRE = 3
_COARSEST = 100.0
"""µm a pixel; coarser ones in a file without OME are printers' resolutions such as 72 dpi, not microscopes'."""

_MICROMETRES = {
    "m": 1e6, "cm": 1e4, "mm": 1e3, "nm": 1e-3, "pm": 1e-6, "inch": 25400.0, "in": 25400.0, "å": 1e-4,
    "um": 1.0, "µm": 1.0, "\u03bcm": 1.0, "\\u00b5m": 1.0, "micron": 1.0, "microns": 1.0, "micrometer": 1.0,
    "micrometre": 1.0, "nanometer": 1e-3, "millimeter": 1e3,
}  # fmt: skip
_SECONDS = {"s": 1.0, "sec": 1.0, "ms": 1e-3, "min": 60.0, "h": 3600.0}


@dataclass(frozen=True)
class Form:
    """What an image is but for its pixels; attributes as of `images.ImageInfo` and `images.Image`."""

    axes: str
    shape: Tuple[int, ...]
    dtype: Any
    pixel_size: Mapping[str, float]
    metadata: Optional[Metadata] = None


@contextmanager
def opened(path: Path) -> Iterator[Stored]:
    """Open a TIFF file; of several series in it the first counts.

    An OME-TIFF may name other files as parts of it, anywhere on the machine: these are never opened.
    """
    with tifffile.TiffFile(str(path), _multifile=False) as file:
        series = file.series[0]
        axes = "".join(
            {"S": "C"}.get(each, each if each in "TZCYX" else "Q") for each in series.axes
        )
        yield Stored(
            axes=axes,
            shape=tuple(int(each) for each in series.shape),
            dtype=np.dtype(series.dtype).newbyteorder("="),
            pixel_size=_pixel_size(file),
            load=lambda region: tiff_parts.load(path, file, series, region),
            part_bytes=_part_bytes(file.pages[0]),
            series=len(file.series),
        )


def write(
    path: Path,
    pixels: np.ndarray,
    axes: str,
    pixel_size: Mapping[str, float],
    compress: bool,
    metadata: Optional[Metadata] = None,
) -> None:
    """Write pixels along `axes` (in ImageJ's order) with their size in µm, as OME-TIFF if the metadata are OME's.

    Raises
    ------
    OSError
        Not all could be written.
    """
    pixels = _storable(pixels)
    options: Dict[str, Any] = {"compression": "zlib"} if compress else {}
    options.update(_options(Form(axes, pixels.shape, pixels.dtype, pixel_size, metadata)))
    options.update(photometric="minisblack", returnoffset=True)
    placed = tifffile.imwrite(str(path), pixels, **options)
    # numpy writes what is not compressed, and says nothing where the last few KiB of it find no room.
    if placed is not None and os.path.getsize(str(path)) < sum(placed):
        raise OSError(errno.ENOSPC, "the last part could not be written", str(path))


def write_parts(
    path: Path, read: Callable[[Region], np.ndarray], form: Form, compress: bool
) -> None:
    """Write an image strip by strip, never holding all of it; the file is like those of `write`.

    Parameters
    ----------
    path
        The file.
    read
        Returns a region of the pixels.
    form
        Of the image; its axes in ImageJ's order.
    compress
        Deflate without loss.
    """
    if not _TAKES_STRIPS:  # what Python 3.7 has
        pixels = read({}).astype(form.dtype)
        write(path, pixels, form.axes, form.pixel_size, compress, form.metadata)
        return
    dtype = np.dtype(form.dtype).newbyteorder("<")
    rows = max(1, _STRIP_BYTES // (form.shape[-1] * dtype.itemsize))
    pack = zlib.compress if compress else bytes
    tifffile.imwrite(
        str(path),
        (pack(read(each).astype(dtype).tobytes()) for each in _strips(form, rows)),
        shape=form.shape,
        dtype=dtype,
        byteorder="<",
        photometric="minisblack",
        rowsperstrip=rows,
        compression="zlib" if compress else None,
        **_options(form),
    )


def _strips(form: Form, rows: int) -> Iterator[Region]:
    """Yield the regions of all strips in the order of the file."""
    for page in np.ndindex(*form.shape[:-2]):
        place = {axis: slice(index, index + 1) for axis, index in zip(form.axes, page)}
        for start in range(0, form.shape[-2], rows):
            yield dict(place, Y=slice(start, min(start + rows, form.shape[-2])))


def _options(form: Form) -> Dict[str, Any]:
    known = {a: float(size) for a, size in form.pixel_size.items() if size > 0 and a in form.axes}
    if form.metadata is not None and form.metadata.ome:
        plain = _plain_options(form.axes, known)
        return dict(plain, description=form.metadata.ome.encode("utf-8"), metadata=None)
    # ImageJ's format forgets an axis of length 1, or fails on it.
    size = _product(form.shape) * np.dtype(form.dtype).itemsize
    fits = np.dtype(form.dtype).name in _IMAGEJ_TYPES and size < _MOST_IMAGEJ_BYTES
    if fits and min(form.shape, default=0) > 1:
        about = form.metadata.imagej if form.metadata is not None else {}
        return _imagej_options(form.axes, known, about)
    return _plain_options(form.axes, known)


def _storable(pixels: np.ndarray) -> np.ndarray:
    simpler = {"bool": np.uint8, "float16": np.float32, "float64": np.float32}
    return np.ascontiguousarray(pixels, dtype=simpler.get(pixels.dtype.name, pixels.dtype))


def _imagej_options(
    axes: str, size: Mapping[str, float], about: Mapping[str, Any]
) -> Dict[str, Any]:
    metadata: Dict[str, Any] = dict(about, axes=axes)
    options: Dict[str, Any] = {"imagej": True, "metadata": metadata}
    if "T" in size:
        metadata["finterval"] = size["T"]
    if "X" in size and "Y" in size:
        metadata["unit"] = "micron"
        options["resolution"] = (1 / size["X"], 1 / size["Y"])
        if "Z" in size:
            metadata["spacing"] = size["Z"]
    return options


def _plain_options(axes: str, size: Mapping[str, float]) -> Dict[str, Any]:
    options: Dict[str, Any] = {"metadata": {"axes": axes, "pixel_size": dict(size)}}
    if "X" not in size or "Y" not in size:
        return options
    resolution = (1e4 / size["X"], 1e4 / size["Y"])
    if "resolutionunit" in inspect.signature(tifffile.TiffWriter.write).parameters:
        return dict(options, resolution=resolution, resolutionunit=_CENTIMETRE)
    return dict(options, resolution=resolution + (_CENTIMETRE,))


def _part_bytes(page: Any) -> int:
    """Size of the largest strip or tile, as it lies in the file and as it is decompressed."""
    itemsize = 0 if page.dtype is None else np.dtype(page.dtype).itemsize
    return max(_product(page.chunks) * itemsize, *map(int, page.databytecounts), 0)


def _product(shape: Tuple[int, ...]) -> int:
    product = 1
    for length in shape:
        product *= int(length)
    return product


def _pixel_size(file: tifffile.TiffFile) -> Dict[str, float]:
    """Size of a pixel in µm (for T: s), from the kind of metadata that the file has."""
    try:
        size = _stated_size(file)
    except (TypeError, ValueError, ElementTree.ParseError):
        return {}  # what is said there is no size; the pixels are good nevertheless
    return {axis: float(each) for axis, each in size.items() if 0 < float(each) < float("inf")}


def _stated_size(file: tifffile.TiffFile) -> Dict[str, float]:
    if file.is_ome and file.ome_metadata:
        return _ome_size(file.ome_metadata)
    if file.is_imagej and file.imagej_metadata:
        return _imagej_size(file, file.imagej_metadata)
    return _plain_size(file)


def _ome_size(xml: str) -> Dict[str, float]:
    if "<!ENTITY" in xml:  # may expand without end, and has no place in OME
        return {}
    elements = ElementTree.fromstring(xml).iter()  # noqa: S314
    pixels = next((each for each in elements if each.tag.endswith("}Pixels")), None)
    if pixels is None:
        return {}
    size = {}
    for axis in "XYZ":
        unit = pixels.get("PhysicalSize{}Unit".format(axis), "µm").lower()
        if pixels.get("PhysicalSize" + axis) and unit in _MICROMETRES:
            size[axis] = float(pixels.get("PhysicalSize" + axis, "")) * _MICROMETRES[unit]
    unit = pixels.get("TimeIncrementUnit", "s")
    if pixels.get("TimeIncrement") and unit in _SECONDS:
        size["T"] = float(pixels.get("TimeIncrement", "")) * _SECONDS[unit]
    return size


def _imagej_size(file: tifffile.TiffFile, metadata: Mapping[str, Any]) -> Dict[str, float]:
    size = {}
    unit = _MICROMETRES.get(str(metadata.get("unit", "")).lower())
    if unit:
        size = _fine({axis: unit / each for axis, each in _resolution(file).items()})
        if "spacing" in metadata:
            size["Z"] = unit * abs(float(metadata["spacing"]))
    if metadata.get("finterval"):
        size["T"] = float(metadata["finterval"])
    return size


def _plain_size(file: tifffile.TiffFile) -> Dict[str, float]:
    recorded = (file.shaped_metadata or [{}])[0].get("pixel_size")
    if isinstance(recorded, dict):
        return recorded
    first: Any = file.pages[0]
    unit = first.tags.get("ResolutionUnit")
    if unit is None or int(unit.value) != _CENTIMETRE:
        return {}
    return _fine({axis: 1e4 / each for axis, each in _resolution(file).items()})


def _fine(size: Mapping[str, float]) -> Dict[str, float]:
    return {axis: each for axis, each in size.items() if each <= _COARSEST}


def _resolution(file: tifffile.TiffFile) -> Dict[str, float]:
    """Pixels in a unit along X and Y."""
    first: Any = file.pages[0]
    found = {axis: first.tags.get(axis + "Resolution") for axis in "XY"}
    ratios = {axis: tag.value for axis, tag in found.items() if tag is not None}
    return {axis: each[0] / each[1] for axis, each in ratios.items() if each[0] and each[1]}
