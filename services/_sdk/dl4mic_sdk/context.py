# SPDX-License-Identifier: BSD-3-Clause
"""What a running network may say and ask: progress, metrics, warnings, artifacts, checkpoints."""

from __future__ import annotations

import logging
import shutil
import threading
from pathlib import Path
from typing import Any, Callable, List, Optional

from dl4mic_sdk.device import Device
from dl4mic_sdk.errors import SdkError, Stopped
from dl4mic_sdk.events import EventWriter
from dl4mic_sdk.trial import Trial

CHECKPOINTS_KEPT = 2
"""The newest, and the one before it in case the newest was being read when the disk failed."""

_PARTIAL = ".partial"


class Context:
    """The network's side of a job; handed to `train`, `predict` and `qc`.

    Attributes
    ----------
    attempt_folder
        Folder of this attempt.
    artifacts
        Folder of what the job publishes.
    device
        Where the job computes.
    log
        Goes to the job's log.
    stage
        Said behind the phase of the progress, where the work goes through the same phases several times.
    dry_run
        Only a few steps shall be tried, and no model is made. `dl4mic_sdk.training.train` sees to it.
    trial
        What it found when it tried them.
    """

    def __init__(
        self,
        attempt_folder: Path,
        events: EventWriter,
        device: Device,
    ) -> None:
        self.attempt_folder = attempt_folder
        self.artifacts = attempt_folder / "artifacts"
        self.device = device
        self.dry_run = False
        self.trial: Optional[Trial] = None
        self.log = logging.getLogger("dl4mic.network")
        self.stage = ""
        self._events = events
        self._stop = threading.Event()

    def progress(
        self,
        done: float,
        total: float = 0,
        unit: str = "",
        phase: str = "",
        seconds_left: Optional[float] = None,
        failed: int = 0,
    ) -> None:
        """Say how far the work is; `total` 0 means not known."""
        event = {
            "phase": "{}, {}".format(phase, self.stage) if self.stage else phase,
            "done": float(done),
            "total": float(total),
            "unit": unit,
            "failed": int(failed),
        }
        if seconds_left is not None:
            event["seconds_left"] = float(seconds_left)
        self._events.append("progress", event)

    def metric(self, name: str, value: float, step: float, unit: str = "") -> None:
        """Record one measured value at a step, e.g. an epoch."""
        self._refuse_own_loop()
        self._events.append(
            "metric", {"name": name, "value": float(value), "step": float(step), "unit": unit}
        )

    def warning(self, code: str, message: str) -> None:
        """Tell the user something that did not stop the job; `code` is stable, for programs."""
        self.log.warning("%s: %s", code, message)
        self._events.append("warning", {"code": code, "message": message})

    def artifact(self, path: str, title: str, media_type: str = "") -> None:
        """Announce a file or folder below `artifacts`, finished now."""
        size = size_of(self.artifacts / path)
        event = {"path": path, "title": title, "media_type": media_type, "size": size}
        self._events.append("artifact", event)

    def checkpoint(self, step: float, write: Callable[[Path], Any]) -> None:
        """Put the state of the work on disk, so that it can go on from here.

        Parameters
        ----------
        step
            How far the work is, in the unit of its progress.
        write
            Called with an empty folder to fill. The folder takes its place only when it is complete.
        """
        self._refuse_own_loop()
        final = self.attempt_folder / "checkpoints" / "{:012.3f}".format(step)
        partial = final.with_name(final.name + _PARTIAL)
        shutil.rmtree(str(partial), ignore_errors=True)
        partial.mkdir(parents=True)
        write(partial)
        shutil.rmtree(str(final), ignore_errors=True)
        partial.rename(final)
        for old in _checkpoints(self.attempt_folder)[:-CHECKPOINTS_KEPT]:
            shutil.rmtree(str(old), ignore_errors=True)
        self._events.append("checkpoint", {"step": float(step)})

    def latest_checkpoint(self) -> Optional[Path]:
        """Folder of the newest checkpoint of this attempt, else of the attempts before it, else None."""
        for number in range(int(self.attempt_folder.name), 0, -1):
            found = _checkpoints(self.attempt_folder.with_name(str(number)))
            if found:
                return found[-1]
        return None

    def _refuse_own_loop(self) -> None:
        """End a dry run of a network that has begun to train in earnest."""
        if self.dry_run:
            raise own_loop()

    @property
    def stopping(self) -> bool:
        """The worker was asked to stop: checkpoint, then call `raise_if_stopping`."""
        return self._stop.is_set()

    def stop(self) -> None:
        """Ask the network to stop at its next safe point."""
        self._stop.set()

    def raise_if_stopping(self) -> None:
        """Raise `Stopped` when the worker was asked to stop."""
        if self.stopping:
            raise Stopped


def own_loop() -> SdkError:
    """Make the error of a dry run of a network that does not train by `dl4mic_sdk.training.train`."""
    return SdkError(
        "this network trains by a loop of its own, which a dry run cannot try",
        "Train it for one epoch instead, to see what it does and how long it takes.",
    )


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    if path.is_dir():
        return sum(each.stat().st_size for each in path.rglob("*") if each.is_file())
    return path.stat().st_size


def _checkpoints(attempt_folder: Path) -> List[Path]:
    folders = (attempt_folder / "checkpoints").glob("*")
    return sorted(each for each in folders if each.suffix != _PARTIAL and each.is_dir())
