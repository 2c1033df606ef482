# SPDX-License-Identifier: BSD-3-Clause
"""PredictImage: keeps one worker warm with a model loaded, and hands it images."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple

import grpc

from dl4mic.check import Refused, Violation, check_predict
from dl4mic.image_header import check_image, in_header
from dl4mic.plain import request_record
from dl4mic.server import CHUNK_BYTES, RpcError
from dl4mic.v1.network_pb2 import PredictImageRequest, PredictImageResponse
from dl4mic.v1.request_pb2 import JobOptions, PredictRequest
from dl4mic_sdk.frames import BEAT, receive_frame, send_frame
from dl4mic_sdk.host import faults
from dl4mic_sdk.host.attempt import HEARTBEAT_SECONDS
from dl4mic_sdk.host.jobs import Jobs
from dl4mic_sdk.job_folder import LOG_FILE, REQUEST_FILE, write_json

_ANYWHERE = "/"
"""Stands for the images' location, which single images have none of."""

log = logging.getLogger("dl4mic.host")


class WarmWorkers:
    """Holds at most one warm worker: for the network, model, parameters and device of the last image.

    Parameters
    ----------
    jobs
        Gives networks and locations.
    idle_seconds
        A worker that has had no image for so long is ended.
    silence_seconds
        A worker that has neither answered nor worked for so long hangs, and is ended: a call that waits for another
        one's image must not wait for ever.
    """

    def __init__(self, jobs: Jobs, idle_seconds: float, silence_seconds: float) -> None:
        self._jobs = jobs
        self._idle_seconds = idle_seconds
        self._silence_seconds = silence_seconds
        self._lock = threading.Lock()
        self._worker: Optional[_WarmWorker] = None
        self._timer: Optional[threading.Timer] = None
        self.last_used = time.monotonic()

    def predict_image(
        self, requests: Iterator[PredictImageRequest], local: bool
    ) -> Iterator[PredictImageResponse]:
        """Answer one call of PredictImage.

        Raises
        ------
        dl4mic.check.Refused
            The header is at fault.
        RpcError
            The network could not predict the image.
        """
        header = _receive_header(requests)
        record = self._record(header, local)
        expected = check_image(header.image, self._jobs.network(header.network))
        pixels = _receive_pixels(requests, expected)
        with self._lock:
            self._keep_warm()
            worker = self._worker_for(record)
            try:
                worker.await_model()
                parts = worker.predict(_image_values(header), pixels)
            except (OSError, EOFError) as error:
                told = self._told(error, worker)
                self._end_worker()
                raise told from error
        for values, content in parts:
            yield from _responses(values, content)

    def close(self) -> None:
        """End the warm worker."""
        with self._lock:
            self._end_worker()

    def _record(self, header: PredictImageRequest.Header, local: bool) -> Dict[str, Any]:
        request = PredictRequest(network=header.network, parameters=header.parameters)
        request.model.CopyFrom(header.model)
        request.data.source = _ANYWHERE
        request.options.device = header.device or JobOptions.AUTO
        with in_header():
            check_predict(request, self._jobs.network(header.network))
            request.ClearField("data")
            request = self._jobs.resolved(request, local)
        return request_record(request, self._jobs.service, job_id="", attempt=1, previous=None)

    def _worker_for(self, record: Dict[str, Any]) -> _WarmWorker:
        if self._worker is None or self._worker.record != record or not self._worker.alive():
            self._end_worker()
            self._worker = _WarmWorker(record, self._silence_seconds)
        return self._worker

    def _told(self, error: Exception, worker: _WarmWorker) -> RpcError:
        """Say to the caller what became of the worker."""
        if isinstance(error, socket.timeout):
            hung = faults.silent(self._silence_seconds)
            return RpcError(grpc.StatusCode.INTERNAL, hung["message"], hung["code"], "Try again.")
        message = "the worker ended while it predicted the image: {}".format(error)
        return RpcError(grpc.StatusCode.INTERNAL, message, "WORKER_DIED", worker.last_words())

    def _keep_warm(self) -> None:
        self.last_used = time.monotonic()
        if self._timer is not None:
            self._timer.cancel()
        self._timer = threading.Timer(self._idle_seconds, self.close)
        self._timer.daemon = True
        self._timer.start()

    def _end_worker(self) -> None:
        if self._worker is not None:
            self._worker.end()
        self._worker = None


class _WarmWorker:
    """A worker process that holds one model.

    Its methods raise OSError or EOFError when it has ended, and socket.timeout when it gives no sign of life.
    """

    def __init__(self, record: Dict[str, Any], silence_seconds: float) -> None:
        self.record = record
        self._ready = False
        self._folder = Path(tempfile.mkdtemp(prefix="dl4mic-warm-"))
        write_json(self._folder / REQUEST_FILE, record)
        self._socket, theirs = socket.socketpair()
        self._socket.settimeout(silence_seconds)
        with theirs, (self._folder / LOG_FILE).open("wb") as output:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "dl4mic_sdk.warm_worker",
                    str(self._folder),
                    str(theirs.fileno()),
                    str(min(HEARTBEAT_SECONDS, silence_seconds / 4)),
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                pass_fds=[theirs.fileno()],
            )

    def await_model(self) -> None:
        """Wait until its model is loaded."""
        if self._ready:
            return
        values, _ = self._receive()
        if "fault" in values:
            self.end()
            fault, code = values["fault"], grpc.StatusCode.FAILED_PRECONDITION
            raise RpcError(code, fault["message"], fault["code"], fault["hint"])
        self._ready = True

    def alive(self) -> bool:
        return self._process.poll() is None

    def predict(self, values: Dict[str, Any], pixels: bytes) -> List[Tuple[Dict[str, Any], bytes]]:
        send_frame(self._socket, values, pixels)
        parts: List[Tuple[Dict[str, Any], bytes]] = []
        while True:
            values, content = self._receive()
            if "fault" in values:
                fault = values["fault"]
                raise RpcError(
                    grpc.StatusCode.INVALID_ARGUMENT, fault["message"], fault["code"], fault["hint"]
                )
            if values.get("end"):
                return parts
            parts.append((values, content))

    def _receive(self) -> Tuple[Dict[str, Any], bytes]:
        """Wait for a frame that is more than a sign of life."""
        while True:
            values, content = receive_frame(self._socket)
            if values != BEAT:
                return values, content

    def last_words(self) -> str:
        text = (self._folder / LOG_FILE).read_text(encoding="utf-8", errors="replace").strip()
        return text.splitlines()[-1] if text else ""

    def end(self) -> None:
        self._socket.close()
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._process.wait()
        shutil.rmtree(str(self._folder), ignore_errors=True)


def _receive_header(requests: Iterator[PredictImageRequest]) -> PredictImageRequest.Header:
    first = next(requests, PredictImageRequest())
    if first.WhichOneof("part") != "header":
        raise _refused("header", "must be the first message")
    return first.header


def _receive_pixels(requests: Iterator[PredictImageRequest], expected: int) -> bytes:
    """Collect the pixels of a call, as many bytes as its header says, and no more in memory."""
    pixels = bytearray()
    for request in requests:
        if request.WhichOneof("part") == "header":
            raise _refused("header", "comes once, before the pixels")
        if len(request.chunk) > CHUNK_BYTES:
            words = "{} bytes; a chunk has at most {}"
            raise _refused("chunk", words.format(len(request.chunk), CHUNK_BYTES))
        pixels += request.chunk
        if len(pixels) > expected:
            break
    if len(pixels) != expected:
        words = "expected {} bytes for shape and dtype, got {}".format(expected, len(pixels))
        raise _refused("chunk", words)
    return bytes(pixels)


def _refused(field: str, description: str) -> Refused:
    return Refused([Violation(field, description)])


def _image_values(header: PredictImageRequest.Header) -> Dict[str, Any]:
    image = header.image
    return {
        "axes": image.axes,
        "shape": list(image.shape),
        "dtype": image.dtype,
        "pixel_size": dict(image.pixel_size),
    }


def _responses(values: Dict[str, Any], content: bytes) -> Iterator[PredictImageResponse]:
    response = PredictImageResponse()
    if "table" in values:
        response.table.title = values["table"]
        response.table.csv = content.decode("utf-8")
        yield response
        return
    response.header.title = values["title"]
    image = response.header.image
    image.axes, image.dtype = values["axes"], values["dtype"]
    image.shape.extend(values["shape"])
    for axis, size in values["pixel_size"].items():
        image.pixel_size[axis] = size
    yield response
    for start in range(0, len(content), CHUNK_BYTES):
        yield PredictImageResponse(chunk=content[start : start + CHUNK_BYTES])
