# SPDX-License-Identifier: BSD-3-Clause
"""What a TIFF file says beyond its pixels and their size, and what of it still holds for a result of the same pixels.

Of OME: everything but the type of the pixels and where they lie in the file; of several channels those that are there.
Of ImageJ: notes, slice labels, colours and regions; no display range, as a result may have other intensities.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, List, Mapping, Optional, Sequence

import numpy as np
import tifffile

_SUFFIXES = (".tif", ".tiff", ".btf")
_IMAGEJ = ("Info", "Labels", "LUTs", "ROI", "Overlays", "mode", "fps", "loop")
_OME_TYPES = {
    "bool": "uint8", "int8": "int8", "int16": "int16", "int32": "int32", "uint8": "uint8", "uint16": "uint16",
    "uint32": "uint32", "float16": "float", "float32": "float", "float64": "float",
}  # fmt: skip
_MADE_ANEW = ("TiffData", "BinData", "MetadataOnly")
_OF_ITS_TYPE = ("SignificantBits", "Interleaved")

Element = ElementTree.Element


@dataclass(frozen=True)
class Metadata:
    """What is written into a file beside its axes and pixel size.

    Attributes
    ----------
    ome
        OME-XML; empty where the file has none.
    imagej
        By the names of `tifffile.TiffFile.imagej_metadata`.
    """

    ome: str = ""
    imagej: Mapping[str, Any] = field(default_factory=dict)


def read_metadata(path: Path) -> Optional[Metadata]:
    """Read what a file says; None where it says nothing, is no TIFF or cannot be read."""
    if path.suffix.lower() not in _SUFFIXES:
        return None
    try:
        with tifffile.TiffFile(str(path), _multifile=False) as file:
            if file.is_ome and file.ome_metadata:
                return Metadata(ome=file.ome_metadata)
            found = (file.imagej_metadata or {}) if file.is_imagej else {}
    except Exception:  # the readers of damaged files raise whatever comes
        return None
    known = {name: found[name] for name in _IMAGEJ if name in found}
    for name in ("Labels", "LUTs"):  # tifffile gives a single one by itself
        if not isinstance(known.get(name, []), list):
            known[name] = [known[name]]
    return Metadata(imagej=known) if known else None


def metadata_of_result(
    source: Metadata, axes: str, shape: Sequence[int], dtype: np.dtype[Any], channel: Optional[int]
) -> Optional[Metadata]:
    """Say what of a file's metadata holds for a result of its pixels; None: nothing.

    Parameters
    ----------
    source
        Of the file that the result was made of.
    axes, shape, dtype
        Of the result.
    channel
        The channel that was taken of the file, if one was.
    """
    sizes = dict(zip(axes, (int(each) for each in shape)))
    if not source.ome:
        return _imagej_of_result(source.imagej, sizes, channel)
    if "<!ENTITY" in source.ome:  # may expand without end, and has no place in OME
        return None
    try:
        root = ElementTree.fromstring(source.ome)  # noqa: S314
        fits = _adapt(root, sizes, _OME_TYPES[dtype.name], channel)
    except (ElementTree.ParseError, KeyError, ValueError, StopIteration):
        return None
    return Metadata(ome=_text(root)) if fits else None


def _imagej_of_result(
    found: Mapping[str, Any], sizes: Mapping[str, int], channel: Optional[int]
) -> Optional[Metadata]:
    channels = sizes.get("C", 1)
    counted = ("Labels", "LUTs") if channels > 1 else ("Labels", "LUTs", "mode")
    kept = {name: each for name, each in found.items() if name not in counted}
    planes = channels * sizes.get("Z", 1) * sizes.get("T", 1)
    if len(found.get("Labels") or ()) == planes and channel is None:
        kept["Labels"] = found["Labels"]
    colours = list(found.get("LUTs") or ())
    colours = colours if channel is None else colours[channel : channel + 1]
    if len(colours) == channels:
        kept["LUTs"] = colours
    return Metadata(imagej=kept) if kept else None


def _adapt(root: Element, sizes: Mapping[str, int], kind: str, channel: Optional[int]) -> bool:
    """Make the first image of OME-XML one of the result; False where it is not of the same pixels."""
    images = [each for each in root if _tag(each) == "Image"]
    pixels = next(each for each in images[0] if _tag(each) == "Pixels")
    if any(int(pixels.get("Size" + axis, 1)) != sizes.get(axis, 1) for axis in "TZYX"):
        return False
    for other in images[1:]:
        root.remove(other)
    for name in _OF_ITS_TYPE:
        pixels.attrib.pop(name, None)
    root.attrib.pop("UUID", None)
    channels = sizes.get("C", 1)
    pixels.attrib.update(Type=kind, SizeC=str(channels), DimensionOrder="XYCZT", BigEndian="false")
    namespace = pixels.tag[: -len("Pixels")]
    inside = _channels(pixels, channels, channel, namespace)
    planes = channels * sizes.get("Z", 1) * sizes.get("T", 1)
    inside.append(Element(namespace + "TiffData", {"IFD": "0", "PlaneCount": str(planes)}))
    inside += _planes(pixels, channels, channel)
    pixels[:] = inside
    return True


def _channels(pixels: Element, count: int, channel: Optional[int], namespace: str) -> List[Element]:
    """Channels of the result: the file's, or bare ones where these are others, such as the samples of RGB."""
    found = [each for each in pixels if _tag(each) == "Channel"]
    plain = all(each.get("SamplesPerPixel", "1") == "1" for each in found)
    found = found if channel is None else found[channel : channel + 1]
    if plain and len(found) == count:
        return found
    names = ("Channel:0:{}".format(number) for number in range(count))
    return [Element(namespace + "Channel", {"ID": each, "SamplesPerPixel": "1"}) for each in names]


def _planes(pixels: Element, count: int, channel: Optional[int]) -> List[Element]:
    """Planes (their times and positions), as far as their channels are in the result."""
    found = [each for each in pixels if _tag(each) == "Plane"]
    if channel is not None:
        found = [each for each in found if each.get("TheC") == str(channel)]
        for each in found:
            each.set("TheC", "0")
    return [each for each in found if int(each.get("TheC", 0)) < count]


def _text(root: Element) -> str:
    namespace = root.tag[1:].partition("}")[0]
    ElementTree.register_namespace("", namespace)
    declaration = '<?xml version="1.0" encoding="UTF-8"?>'
    return declaration + ElementTree.tostring(root, encoding="unicode")


def _tag(element: Element) -> str:
    return str(element.tag).rpartition("}")[2]
