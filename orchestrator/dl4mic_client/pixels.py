# SPDX-License-Identifier: BSD-3-Clause
"""One image to a warm worker and its prediction back: arrays to chunks and chunks to arrays."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dl4mic.v1 import network_pb2
from dl4mic_client.connection import CHUNK_BYTES
from dl4mic_client.errors import Refused, TransferFault, Unsupported

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_KINDS_OF_NUMBERS = "biuf"


@dataclass(frozen=True)
class ImagePrediction:
    """What a network says of one image.

    Attributes
    ----------
    images : dict of str to ndarray
        By title, as in the manifest's outputs; the first is the main one.
    axes : dict of str to str
        Axes of each image, slowest first: "YX", "ZYX".
    pixel_sizes : dict of str to dict
        Micrometres per pixel by axis letter, of each image.
    tables : dict of str to str
        CSV text with a header line, by title.
    """

    images: dict[str, npt.NDArray[Any]] = field(default_factory=dict)
    axes: dict[str, str] = field(default_factory=dict)
    pixel_sizes: dict[str, dict[str, float]] = field(default_factory=dict)
    tables: dict[str, str] = field(default_factory=dict)

    @property
    def image(self) -> npt.NDArray[Any]:
        """The main image."""
        return next(iter(self.images.values()))


def as_array(image: npt.ArrayLike) -> npt.NDArray[Any]:
    """Return an image as an array.

    Raises
    ------
    Unsupported
        NumPy is not installed; all else of this package does without it.
    """
    try:
        import numpy as np
    except ImportError:
        raise Unsupported("Single images need NumPy.", "Install dl4mic[arrays].") from None
    return np.asarray(image)


def image_header(
    array: npt.NDArray[Any], axes: str, pixel_size: Mapping[str, float]
) -> network_pb2.ImageHeader:
    """Describe an array.

    Raises
    ------
    Refused
        The axes are not as many as the array's dimensions, or it holds no plain numbers.
    """
    if len(axes) != array.ndim:
        shape = " x ".join(map(str, array.shape))
        raise Refused(
            f"image.axes: {axes!r} names {len(axes)} axes; the array has {array.ndim} ({shape}).",
            "Name each axis by its letter, slowest first: YX, ZYX, CYX.",
        )
    if array.dtype.kind not in _KINDS_OF_NUMBERS:
        raise Refused(f"image: an array of {array.dtype} is not an image.", "Give plain numbers.")
    return network_pb2.ImageHeader(
        axes=axes, shape=array.shape, dtype=array.dtype.name, pixel_size=dict(pixel_size)
    )


def to_messages(
    header: network_pb2.PredictImageRequest.Header, array: npt.NDArray[Any]
) -> Iterator[network_pb2.PredictImageRequest]:
    """Yield an image as messages: the header, then its pixels in C order, little endian."""
    import numpy as np

    yield network_pb2.PredictImageRequest(header=header)
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    content = little.reshape(-1).view(np.uint8).data
    for start in range(0, len(content), CHUNK_BYTES):
        yield network_pb2.PredictImageRequest(chunk=bytes(content[start : start + CHUNK_BYTES]))


def from_messages(messages: Iterable[network_pb2.PredictImageResponse]) -> ImagePrediction:
    """Put an answer together.

    Raises
    ------
    TransferFault
        An image has fewer or more bytes than its shape says, or there is none.
    """
    prediction = ImagePrediction()
    header, content = None, bytearray()
    for message in messages:
        part = message.WhichOneof("part")
        if part == "chunk":
            content += message.chunk
            continue
        _add_image(prediction, header, content)
        header, content = None, bytearray()
        if part == "header":
            header = message.header
        elif part == "table":
            prediction.tables[message.table.title] = message.table.csv
    _add_image(prediction, header, content)
    if not prediction.images:
        raise TransferFault("The server answered without an image.")
    return prediction


def _add_image(
    prediction: ImagePrediction,
    header: network_pb2.PredictImageResponse.Header | None,
    content: bytearray,
) -> None:
    if header is None:
        return
    prediction.images[header.title] = _array(header.image, content)
    prediction.axes[header.title] = header.image.axes
    prediction.pixel_sizes[header.title] = dict(header.image.pixel_size)


def _array(header: network_pb2.ImageHeader, content: bytearray) -> npt.NDArray[Any]:
    import numpy as np

    dtype: np.dtype[Any] = np.dtype(header.dtype).newbyteorder("<")
    try:
        return np.frombuffer(content, dtype).reshape(tuple(header.shape)).astype(header.dtype)
    except ValueError:
        raise TransferFault(
            f"The answer has {len(content)} bytes for an image of {header.dtype} and shape "
            f"{list(header.shape)}.",
        ) from None
