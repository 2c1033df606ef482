# SPDX-License-Identifier: BSD-3-Clause
"""Single images that are refused: by their header before a worker is asked for, by their pixels when they have come."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from refusals import Refusal, assert_unharmed, refusal_of_call
from servers import Server, value_of

from dl4mic.v1.network_pb2 import ImageHeader, PredictImageRequest, PredictImageResponse
from dl4mic.v1.request_pb2 import JobOptions

PIXELS = np.full((24, 32), 7, np.uint16)


def header(model: object, **changed: object) -> PredictImageRequest.Header:
    """Say what the pixels are; `changed` are fields of the image, of the header, or of both."""
    image = {"axes": "YX", "shape": PIXELS.shape, "dtype": "uint16", "pixel_size": {"Y": 0.5}}
    of_image = {key: value for key, value in changed.items() if key in image}
    of_header = {key: value for key, value in changed.items() if key not in image}
    message = PredictImageRequest.Header(
        **{"network": "blur", "image": ImageHeader(**{**image, **of_image}), **of_header}
    )
    message.model.name = str(model)
    return message


def predict(server: Server, *parts: object) -> list[PredictImageResponse]:
    """Send a header, pixels, or both."""

    def requests() -> Iterator[PredictImageRequest]:
        for part in parts:
            if isinstance(part, PredictImageRequest.Header):
                yield PredictImageRequest(header=part)
            else:
                yield PredictImageRequest(chunk=bytes(part))  # type: ignore[call-overload]

    return list(server.networks.PredictImage(requests(), timeout=120))


def refusal(server: Server, *parts: object) -> Refusal:
    return refusal_of_call(lambda sent: predict(server, *sent), parts)  # type: ignore[misc]


@pytest.mark.parametrize(
    ("changed", "field", "words"),
    [
        ({"axes": "YY"}, "header.image.axes", "once at most"),
        ({"axes": "YQ"}, "header.image.axes", "once at most"),
        ({"axes": "", "shape": []}, "header.image.axes", "once at most"),
        ({"axes": "Y" * 100_000}, "header.image.axes", "once at most"),
        (
            {"axes": "CYX", "shape": [3, 24, 32]},
            "header.image.axes",
            "send YX or ZYX, a single channel",
        ),
        ({"axes": "TYX", "shape": [3, 24, 32]}, "header.image.axes", "not axes that blur takes"),
        ({"shape": [24]}, "header.image.shape", "[24] does not fit the axes 'YX'"),
        ({"shape": [24, 32, 1]}, "header.image.shape", "does not fit"),
        ({"shape": [-24, 32]}, "header.image.shape", "at least 1 for each"),
        ({"shape": [0, 32]}, "header.image.shape", "at least 1 for each"),
        ({"shape": [1] * 100_000}, "header.image.shape", "does not fit"),
        ({"shape": [1 << 62, 1 << 62]}, "header.image.shape", "by reference with Predict"),
        ({"shape": [40_000, 40_000]}, "header.image.shape", "over 1 GiB"),
        ({"dtype": "object"}, "header.image.dtype", "'object' is not one of bool, uint8"),
        ({"dtype": "complex64"}, "header.image.dtype", "is not one of"),
        ({"dtype": ">u2"}, "header.image.dtype", "is not one of"),
        ({"dtype": ""}, "header.image.dtype", "is not one of"),
        ({"pixel_size": {"X": float("nan")}}, "header.image.pixel_size", "'X': nan is no size"),
        ({"pixel_size": {"X": -1.0}}, "header.image.pixel_size", "'X': -1 is no size"),
        ({"pixel_size": {"Z": 1.0}}, "header.image.pixel_size", "along one of the axes"),
        (
            {"parameters": {"smallest_object": value_of("4")}},
            "header.parameters.smallest_object",
            "an integer",
        ),
        ({"parameters": {"epochs": value_of(4)}}, "header.parameters.epochs", "does not read it"),
        ({"device": JobOptions.GPU}, "header.device", "computes on the CPU only"),
        ({"device": 99}, "header.device", "99 is unknown here"),
    ],
    ids=str,
)
def test_a_header_that_is_not_fit(
    server: Server, model: Path, changed: dict[str, object], field: str, words: str
) -> None:
    found = refusal(server, header(model, **changed), PIXELS.tobytes())
    found.assert_field(field, words)


@pytest.mark.parametrize("name", ["", "nobody", "lab:../x", "job:nobody", "Ä"])
def test_a_model_that_is_none(server: Server, name: str) -> None:
    found = refusal(server, header(name), PIXELS.tobytes())
    assert found.code == "INVALID_ARGUMENT"
    assert list(found.fields) == ["header.model.name"], found


def test_an_unknown_network(server: Server, model: Path) -> None:
    found = refusal(server, header(model, network="blurr"), PIXELS.tobytes())
    assert found.code == "NOT_FOUND"
    found.assert_says("no network 'blurr'")


def test_parts_that_do_not_follow_their_order(server: Server, model: Path) -> None:
    refusal(server, PIXELS.tobytes()).assert_field("header", "must be the first message")
    refusal(server).assert_field("header", "must be the first message")
    twice = refusal(server, header(model), header(model), PIXELS.tobytes())
    twice.assert_field("header", "comes once, before the pixels")


@pytest.mark.parametrize("count", [0, 1, PIXELS.nbytes - 1, PIXELS.nbytes + 1, 1_000_000])
def test_pixels_that_are_not_as_many_as_the_header_says(
    server: Server, model: Path, count: int
) -> None:
    found = refusal(server, header(model), bytes(count))
    found.assert_field("chunk", f"expected {PIXELS.nbytes} bytes", f"got {count}")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_pixels_that_are_no_numbers(server: Server, model: Path, value: float) -> None:
    pixels = PIXELS.astype(np.float32)
    pixels[3, 4] = value
    found = refusal(server, header(model, dtype="float32"), pixels.tobytes())
    assert found.code == "INVALID_ARGUMENT"
    found.assert_says("has 1 pixels that are NaN or infinite")


def test_axes_in_another_order_are_brought_into_theirs(server: Server, model: Path) -> None:
    pixels = np.zeros((24, 32), np.uint16)
    pixels[4:10, 20:28] = 400
    straight = predict(server, header(model), pixels.tobytes())
    turned = predict(
        server, header(model, axes="XY", shape=[32, 24]), np.ascontiguousarray(pixels.T).tobytes()
    )
    assert turned == straight
    assert np.frombuffer(straight[1].chunk, straight[0].header.image.dtype).max() == 1


def test_the_server_is_unharmed(server: Server) -> None:
    assert_unharmed(server, [])
