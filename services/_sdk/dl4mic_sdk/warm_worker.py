# SPDX-License-Identifier: BSD-3-Clause
"""The worker that holds one model and predicts single images: ``python -m dl4mic_sdk.warm_worker FOLDER FD SECONDS``.

Every so many seconds it says that it lives; one that hangs in native code does not.
"""

from __future__ import annotations

import csv
import faulthandler
import io
import logging
import os
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any, Dict, List, Tuple

import numpy as np

from dl4mic_sdk.axis_order import AXES
from dl4mic_sdk.data_rules import not_finite_fault
from dl4mic_sdk.diagnosis import fault_of
from dl4mic_sdk.errors import ImageError
from dl4mic_sdk.frames import BEAT, receive_frame, send_frame
from dl4mic_sdk.images import Image
from dl4mic_sdk.job_folder import REQUEST_FILE, read_json
from dl4mic_sdk.network import Network
from dl4mic_sdk.output_type import (
    CLIPPED,
    PARAMETER,
    clipped_text,
    conversion_of,
    converted,
)
from dl4mic_sdk.prediction import Prediction, Table
from dl4mic_sdk.task import ModelFolder
from dl4mic_sdk.worker import die_with_host, go_first, open_network

log = logging.getLogger("dl4mic.worker")


def main(arguments: List[str]) -> int:
    """Serve images on an inherited socket until it is closed."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO)
    folder, descriptor, beat_seconds = arguments
    connection = _Connection(socket.socket(fileno=int(descriptor)))
    threading.Thread(target=connection.beat, args=(float(beat_seconds),), daemon=True).start()
    try:
        network = _load(Path(folder))
    except Exception as error:
        log.error("the model could not be loaded", exc_info=error)
        connection.send({"fault": fault_of(error)})
        return 1
    connection.send({"ready": True})
    while True:
        try:
            values, content = connection.receive()
        except EOFError:
            return 0
        _answer(connection, network, values, content)


class _Connection:
    """The line to the host, which two threads speak on: frames, and signs of life while there is work."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._lock = threading.Lock()
        self._working = True

    def send(self, values: Dict[str, Any], content: bytes = b"") -> None:
        with self._lock:
            send_frame(self._socket, values, content)

    def receive(self) -> Tuple[Dict[str, Any], bytes]:
        """Wait for the next image; nobody listens for signs of life meanwhile."""
        self._working = False
        frame = receive_frame(self._socket)
        self._working = True
        return frame

    def beat(self, seconds: float) -> None:
        while True:
            time.sleep(seconds)
            if self._working:
                self.send(BEAT)


def _load(folder: Path) -> Network:
    request = read_json(folder / REQUEST_FILE)
    network = open_network(request)
    network.device_kernel(request["device"])
    model = request["models"][0]
    network.load(
        ModelFolder.open(model["name"], Path(model["folder"]), model["weights"], request["network"])
    )
    return network


def _answer(
    connection: _Connection, network: Network, values: Dict[str, Any], content: bytes
) -> None:
    try:
        prediction = _predicted(network, _image(values, content))
    except Exception as error:
        log.error("the image could not be predicted", exc_info=error)
        connection.send({"fault": fault_of(error)})
        return
    _send(connection, prediction)
    connection.send({"end": True})


def _predicted(network: Network, image: Image) -> Prediction:
    """Predict an image, in the type that is asked for."""
    found, dtype = network.predict_image(image), image.pixels.dtype
    convert = conversion_of(network.parameters.get(PARAMETER), found, dtype, _warn)
    if convert is None:
        return found
    found = converted(found, convert)
    if convert.clipped:
        _warn(CLIPPED, clipped_text({image.name: convert.clipped}))
    return found


def _warn(code: str, message: str) -> None:
    log.warning("%s: %s", code, message)


def _image(values: Dict[str, Any], content: bytes) -> Image:
    """Bring an image that was sent into the order of axes that networks know.

    Raises
    ------
    ImageError
        Pixels are NaN or infinite.
    """
    pixels = np.frombuffer(content, np.dtype(values["dtype"]).newbyteorder("<"))
    bad = pixels.size - int(np.count_nonzero(np.isfinite(pixels)))
    fault = not_finite_fault(bad)
    if fault is not None:
        raise ImageError("the image", fault.message, fault.hint)
    axes = "".join(each for each in AXES if each in values["axes"])
    order = [values["axes"].index(each) for each in axes]
    ordered = np.ascontiguousarray(pixels.reshape(values["shape"]).transpose(order))
    native = ordered.astype(ordered.dtype.newbyteorder("="), copy=False)
    return Image(native, axes, values["pixel_size"], "image")


def _send(connection: _Connection, prediction: Prediction) -> None:
    for title, image in prediction.images.items():
        whole = image if isinstance(image, Image) else image.whole()
        pixels = np.ascontiguousarray(whole.pixels)
        values = {
            "title": title,
            "axes": image.axes,
            "shape": list(pixels.shape),
            "dtype": pixels.dtype.newbyteorder("=").name,
            "pixel_size": dict(image.pixel_size),
        }
        connection.send(values, pixels.astype(pixels.dtype.newbyteorder("<")).tobytes())
    for title, table in prediction.tables.items():
        connection.send({"table": title}, _csv(table).encode("utf-8"))


def _csv(table: Table) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table.columns)
    writer.writerows(table.rows)
    return text.getvalue()


if __name__ == "__main__":
    faulthandler.enable()
    go_first()
    die_with_host(os.getppid())
    sys.exit(main(sys.argv[1:]))
