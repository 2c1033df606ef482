# SPDX-License-Identifier: BSD-3-Clause
"""A folder of images through a network: reading, computing and writing overlap, memory stays constant."""

from __future__ import annotations

import os
import shutil
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    Deque,
    Dict,
    List,
    Mapping,
    Optional,
    Sequence,
    Set,
    Tuple,
    Type,
    Union,
)

import numpy as np

from dl4mic_sdk.diagnosis import of_system
from dl4mic_sdk.errors import DataError, ImageError, SdkError, Stopped
from dl4mic_sdk.images import Image, ImageOnDisk, opened
from dl4mic_sdk.output_type import (
    CLIPPED,
    PARAMETER,
    Conversion,
    clipped_text,
    conversion_of,
    converted,
)
from dl4mic_sdk.pairs import Item
from dl4mic_sdk.planes import predict_planes
from dl4mic_sdk.prediction import Prediction
from dl4mic_sdk.prediction_files import FinishedImages, paths_of, with_metadata, write_prediction
from dl4mic_sdk.prefetch import Prefetch

if TYPE_CHECKING:
    from dl4mic_sdk.context import Context
    from dl4mic_sdk.network import Network

_MOST_UNWRITTEN = 2
_COPIED_BYTES = 512 << 20
"""Larger mapped images stay in their file: to read them ahead would take their size in memory several times."""

LARGE_PIXELS = 1 << 21
"""Of a larger image a network may read one part after the other (`Network.predict_large`)."""

_MOST_WARNINGS = 100
_MOST_REPORTS, _REPORT_SECONDS = 1000, 5.0
"""Progress is told so often at most, and again when this time has passed."""

_LONGEST_NAME = 255 - len("..partial")
"""Bytes; file systems take 255, and a file has a longer name while it is written."""

_OUT_OF_MEMORY = ("ResourceExhaustedError", "OutOfMemoryError")


def predict_folder(
    network: Network,
    items: Sequence[Item],
    output: Path,
    ctx: Context,
    previous: Optional[Path] = None,
    keep_note: bool = False,
) -> Dict[str, str]:
    """Apply a network whose model is loaded to images, and write what it makes of them under their names.

    Parameters
    ----------
    network
        Its `predict_image` is called in the calling thread, with one image after the other.
    items
        The images, whose names differ.
    output
        Existing folder: ``NAME.tif`` is the result, ``TITLE/NAME.tif`` a further image, ``NAME_TITLE.csv`` a table.
    ctx
        Gets the progress, and a warning for each image that fails.
    previous
        The same folder of an attempt that ended early; what that finished is taken over.
    keep_note
        Leave the note of what is finished, where more is to be done before the attempt ends.

    Returns
    -------
    dict
        Name of each image that failed -> why. One bad image is no reason to leave out the others.

    Raises
    ------
    DataError
        Every image failed.
    Stopped
        The worker was asked to stop; the next attempt can take over what is finished.
    OSError
        The results cannot be written.
    MemoryError
        Or the framework's own: an image needs more memory than there is.
    """
    finished = FinishedImages(output, previous)
    todo = [each for each in items if not finished.take_over(each)]
    run = _Run(network, output, ctx, finished, done=len(items) - len(todo), total=len(items))
    on_disk = {each.name for each in todo if _stays_on_disk(network, each)}

    def read(number: int) -> Union[Image, Exception, None]:
        return None if todo[number].name in on_disk else _read(todo[number])

    with Prefetch(read, 0, len(todo)) as images, run:
        for item, image in zip(todo, images):
            ctx.raise_if_stopping()
            run.predict(item, image)
    run.refuse_all_failed()
    if not keep_note:
        finished.forget()
    return run.failed


class _Run:
    """One pass over a folder; as a context it holds the thread that writes."""

    def __init__(
        self,
        network: Network,
        output: Path,
        ctx: Context,
        finished: FinishedImages,
        done: int,
        total: int,
    ) -> None:
        self.failed: Dict[str, str] = {}
        self._network = network
        self._output = output
        self._ctx = ctx
        self._finished = finished
        self._done = done
        self._pixels = 0
        self._total = total
        self._reported = (-float("inf"), 0.0)
        self._files: List[Tuple[str, str]] = []
        self._written: Set[str] = set()
        self._defect: Optional[BaseException] = None
        self._clipped: Dict[str, int] = {}
        self._warned: Set[str] = set()
        self._unwritten: Deque[Tuple[Item, Future[List[str]], Optional[Conversion]]] = deque()
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="write")

    def __enter__(self) -> _Run:
        self._report()
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        # What was computed is written also when the run ends early: the next attempt takes it over.
        try:
            while self._unwritten:
                self._settle()
        finally:
            self._writer.shutdown(wait=True)
        if self._clipped and (kind is None or issubclass(kind, Stopped)):
            self._ctx.warning(CLIPPED, clipped_text(self._clipped))

    def predict(self, item: Item, image: Union[Image, Exception, None]) -> None:
        """Compute one image, None if it stays on disk, and hand the result to the writing thread."""
        scratch = self._output / ".scratch-{}".format(len(self._written))
        try:
            if isinstance(image, Exception):
                raise image
            prediction, dtype = self._apply(item, image, scratch)
            convert = self._conversion(prediction, dtype)
            prediction = with_metadata(prediction, item, convert.dtype if convert else None)
            self._claim(item, paths_of(prediction, item.name))
        except BaseException as error:
            shutil.rmtree(str(scratch), ignore_errors=True)
            self._fail(item, error)
        else:
            place = (item.name, self._output, scratch)
            future = self._writer.submit(_write, prediction, convert, *place)
            self._unwritten.append((item, future, convert))
        while len(self._unwritten) > _MOST_UNWRITTEN:
            self._settle()

    def refuse_all_failed(self) -> None:
        """Raise when not one image could be predicted."""
        if len(self.failed) < self._total or not self.failed:
            return
        if self._defect is not None:
            raise self._defect
        message = "none of the {} images could be predicted: {} {}".format(
            self._total, Path(self._files[0][0]).name, self._files[0][1]
        )
        raise DataError(message, "", self._files, len(self.failed))

    def _apply(
        self, item: Item, image: Optional[Image], scratch: Path
    ) -> Tuple[Prediction, np.dtype[Any]]:
        """Return what the network makes of an image, and the type of its pixels."""
        if image is not None:
            return self._network.predict_image(image), image.pixels.dtype
        scratch.mkdir()
        with opened(item.source, item.source_axes, item.channel) as stored:
            guarded = replace(stored, read=_guarded(stored, item, self._ctx))
            if not item.planes:
                return self._on_disk(guarded, scratch), stored.dtype
            found = predict_planes(guarded, item.planes, self._on_disk, scratch)
            return found, stored.dtype

    def _on_disk(self, image: ImageOnDisk, scratch: Path) -> Prediction:
        large = _size(image.shape) > LARGE_PIXELS
        found = self._network.predict_large(image, scratch) if large else None
        return self._network.predict_image(image.whole()) if found is None else found

    def _conversion(self, prediction: Prediction, dtype: np.dtype[Any]) -> Optional[Conversion]:
        wanted = self._network.parameters.get(PARAMETER)
        return conversion_of(wanted, prediction, dtype, self._warn_once)

    def _warn_once(self, code: str, message: str) -> None:
        if code not in self._warned:
            self._warned.add(code)
            self._ctx.warning(code, message)

    def _claim(self, item: Item, paths: List[str]) -> None:
        if any(len(os.path.basename(each).encode()) > _LONGEST_NAME for each in paths):
            text = "its name is too long for the names of its results"
            raise ImageError(item.source, text, "Rename the image.")
        taken = self._written.intersection(paths)
        if taken:
            text = "its result {} would overwrite that of another image"
            raise ImageError(item.source, text.format(min(taken)), "Rename the image.")
        self._written.update(paths)

    def _settle(self) -> None:
        """Wait for the oldest unwritten result."""
        item, future, convert = self._unwritten.popleft()
        try:
            files = future.result()
        except (ValueError, SdkError) as error:
            self._fail(item, error)
            return
        if convert is not None and convert.clipped:
            self._clipped[item.name] = convert.clipped
        self._finished.add(item, files)
        self._done += 1
        self._pixels += _size(item.shape)
        self._report()

    def _fail(self, item: Item, error: BaseException) -> None:
        """Note that an image failed; what would fail for every image ends the run."""
        if _is_fatal(error):
            raise error
        message = getattr(error, "fault", None) or str(error) or type(error).__name__
        if not isinstance(error, SdkError):
            self._defect = error
            self._ctx.log.error("%s failed", item.source, exc_info=error)
        self.failed[item.name] = message
        self._files.append((str(item.source), message))
        if len(self.failed) <= _MOST_WARNINGS:
            self._ctx.warning("IMAGE_FAILED", "{}: {}".format(item.source.name, message))
        self._report()

    def _report(self) -> None:
        """Tell of the progress, of thousands of quick images not of each one."""
        failed = len(self.failed)
        done, now = self._done + failed, time.monotonic()
        few = done - self._reported[0] < self._total / _MOST_REPORTS
        if few and done < self._total and now - self._reported[1] < _REPORT_SECONDS:
            return
        self._reported = done, now
        self._ctx.progress(done, self._total, "images", "predicting", failed=failed)
        self._ctx.metric("pixels", self._pixels, done, "px")


def _is_fatal(error: BaseException) -> bool:
    """Whether it lies in the job or the machine, such as a full disk, instead of in one image."""
    if not isinstance(error, Exception) or isinstance(error, (Stopped, MemoryError)):
        return True
    if isinstance(error, OSError):
        return of_system(error) is not None
    return type(error).__name__ in _OUT_OF_MEMORY


def _stays_on_disk(network: Network, item: Item) -> bool:
    """Whether parts of an image are read while it is computed, instead of all of it ahead."""
    from dl4mic_sdk.network import Network

    own = getattr(type(network), "predict_large", Network.predict_large)
    large = own is not Network.predict_large and _size(item.shape) > LARGE_PIXELS
    return not item.fault and (bool(item.planes) or large)


def _size(shape: Sequence[int]) -> int:
    return int(np.prod([int(each) for each in shape], dtype=np.int64))


def _read(item: Item) -> Union[Image, Exception]:
    """Read an image into memory, so that computing need not wait for the disk; a fault is returned, not raised."""
    try:
        image = item.read_source()
        if isinstance(image.pixels, np.memmap) and image.pixels.nbytes <= _COPIED_BYTES:
            image = image.with_pixels(np.array(image.pixels))
        _refuse_not_finite(item, image.pixels)
        return image
    except Exception as error:
        return error


def _guarded(
    image: ImageOnDisk, item: Item, ctx: Context
) -> Callable[[Mapping[str, slice]], np.ndarray]:
    """Read parts of an image that are all finite, and none once the job is asked to stop."""

    def read(region: Mapping[str, slice]) -> np.ndarray:
        ctx.raise_if_stopping()
        pixels = image.read(region)
        _refuse_not_finite(item, pixels)
        return pixels

    return read


def _refuse_not_finite(item: Item, pixels: np.ndarray) -> None:
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        raise ImageError(item.source, "has pixels that are NaN or infinite")


def _write(
    prediction: Prediction,
    convert: Optional[Conversion],
    name: str,
    output: Path,
    scratch: Path,
) -> List[str]:
    try:
        if convert is not None:
            prediction = converted(prediction, convert)
        return write_prediction(prediction, name, output)
    finally:
        shutil.rmtree(str(scratch), ignore_errors=True)
