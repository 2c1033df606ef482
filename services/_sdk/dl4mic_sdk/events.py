# SPDX-License-Identifier: BSD-3-Clause
"""`events.jsonl`: the record of an attempt, one event a line, in the JSON form of the contract's JobEvent."""

from __future__ import annotations

import json
import math
import os
import threading
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Dict, Iterator, Mapping, Tuple

FILE_NAME = "events.jsonl"


class EventWriter:
    """Appends events of one attempt; there is never more than one writer at a time.

    Parameters
    ----------
    attempt_folder
        Its name is the attempt's number.

    Notes
    -----
    Sequence numbers run on over the attempts of a job: the first event of an attempt follows the last one of the
    attempt before. A line that a dying writer left unfinished is cut off. An event that cannot be written has not
    happened: nothing of it stays behind, and the next one takes its number.
    """

    def __init__(self, attempt_folder: Path) -> None:
        self._attempt = int(attempt_folder.name)
        self._lock = threading.Lock()
        path = attempt_folder / FILE_NAME
        _cut_unfinished_line(path)
        self._sequence = last_sequence(attempt_folder)
        self._file = path.open("ab", buffering=0)

    def append(self, kind: str, event: Mapping[str, Any]) -> None:
        """Add an event of the kind of one of JobEvent's fields: "metric", "progress", ...

        Raises
        ------
        OSError
            It cannot be written, e.g. because the disk is full.
        ValueError
            The writer is closed.
        """
        with self._lock:
            line = {
                "sequence": self._sequence + 1,
                "time": now(),
                "attempt": self._attempt,
                kind: _finite(event),
            }
            self._write((json.dumps(line) + "\n").encode("utf-8"))
            self._sequence += 1

    def _write(self, line: bytes) -> None:
        before = os.fstat(self._file.fileno()).st_size
        try:
            while line:
                line = line[self._file.write(line) or 0 :]
        except OSError:
            self._file.truncate(before)
            raise

    def close(self) -> None:
        """Put everything on disk and let go of the file."""
        with self._lock:
            os.fsync(self._file.fileno())
            self._file.close()


def now() -> str:
    """Time of day in UTC as RFC 3339 with milliseconds."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def read_events(attempt_folder: Path, offset: int = 0) -> Iterator[Tuple[int, Dict[str, Any]]]:
    """Yield (offset behind the line, event) of every complete line from a byte offset on."""
    try:
        file = (attempt_folder / FILE_NAME).open("rb")
    except FileNotFoundError:
        return
    with file:
        file.seek(offset)
        for line in file:
            if not line.endswith(b"\n"):
                return
            offset += len(line)
            yield offset, json.loads(line.decode("utf-8"))


def last_sequence(attempt_folder: Path) -> int:
    """Sequence number of the newest event of an attempt, else of the attempts before it, else 0."""
    for number in range(int(attempt_folder.name), 0, -1):
        sequence = 0
        for _, event in read_events(attempt_folder.with_name(str(number))):
            sequence = event["sequence"]
        if sequence:
            return sequence
    return 0


def _cut_unfinished_line(path: Path) -> None:
    if not path.exists():
        return
    content = path.read_bytes()
    if content and not content.endswith(b"\n"):
        with path.open("r+b") as file:
            file.truncate(content.rfind(b"\n") + 1)


def _finite(event: Mapping[str, Any]) -> Dict[str, Any]:
    """Spell NaN and the infinities as JSON's proto mapping does: json.dumps would write invalid JSON."""
    return {key: _spell(value) for key, value in event.items()}


def _spell(value: Any) -> Any:
    if not isinstance(value, float) or math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
