# SPDX-License-Identifier: BSD-3-Clause
"""What the header of a single image may say, checked before a worker is asked for. Pure."""

from __future__ import annotations

import math
from contextlib import contextmanager
from typing import Iterator

from dl4mic.check import AXES, Refused, Violation
from dl4mic.v1.network_pb2 import ImageHeader, Network

LARGEST_IMAGE_BYTES = 1 << 30
"""Of one image by PredictImage; what is larger goes by reference."""

ITEM_BYTES = {
    "bool": 1,
    "uint8": 1,
    "int8": 1,
    "uint16": 2,
    "int16": 2,
    "uint32": 4,
    "int32": 4,
    "float32": 4,
    "float64": 8,
}
"""NumPy name of a type that is taken -> bytes of a pixel."""

_FIELD = "header.image."


@contextmanager
def in_header() -> Iterator[None]:
    """Name the fields at fault as the header of a single image has them, not as a request by reference."""
    try:
        yield
    except Refused as error:
        found = (("header." + each.field, each.description) for each in error.violations)
        raise Refused(
            [Violation(field.replace(".options.", "."), words) for field, words in found]
        ) from None


def check_image(image: ImageHeader, network: Network) -> int:
    """Return how many bytes of pixels belong to a header.

    Raises
    ------
    dl4mic.check.Refused
        Axes that are none or not the network's, an unknown type, a shape that does not fit or is too large, or a pixel
        size that is no length.
    """
    found = list(_check_axes(image, network))
    found += _check_shape(image)
    if image.dtype not in ITEM_BYTES:
        text = "{!r} is not one of {}"
        found.append(_violation("dtype", text.format(image.dtype[:60], ", ".join(ITEM_BYTES))))
    for axis, size in sorted(image.pixel_size.items()):
        if axis not in image.axes or not (math.isfinite(size) and size > 0):
            text = "{!r}: {:g} is no size of a pixel along one of the axes; leave out what is not known"
            found.append(_violation("pixel_size", text.format(axis[:60], size)))
    if not found and _bytes(image) > LARGEST_IMAGE_BYTES:
        found.append(_violation("shape", "is over 1 GiB; send a folder by reference with Predict"))
    if found:
        raise Refused(found)
    return _bytes(image)


def _check_axes(image: ImageHeader, network: Network) -> Iterator[Violation]:
    axes = image.axes
    if not axes or not set(axes) <= set(AXES) or len(set(axes)) < len(axes):
        text = "{!r} are not axes: use each of T, C, Z, Y, X once at most"
        yield _violation("axes", text.format(axes[:60]))
    elif network.axes and not any(set(axes) == set(each) for each in network.axes):
        text = "{} are not axes that {} takes: send {}"
        said = text.format(axes, network.name, " or ".join(network.axes))
        yield _violation("axes", said + (", a single channel" if "C" in axes else ""))


def _check_shape(image: ImageHeader) -> Iterator[Violation]:
    shape = list(image.shape[: len(AXES) + 1])
    if len(shape) != len(image.axes) or min(shape, default=0) < 1:
        text = "{} does not fit the axes {!r}: give a length of at least 1 for each"
        yield _violation("shape", text.format(shape, image.axes[:60]))


def _bytes(image: ImageHeader) -> int:
    size = ITEM_BYTES[image.dtype]
    for length in image.shape:
        size *= length
    return size


def _violation(field: str, description: str) -> Violation:
    return Violation(_FIELD + field, description)
