# SPDX-License-Identifier: BSD-3-Clause
"""Shows how a job goes: a bar with loss, rate and time left, or plain lines without a terminal."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from dl4mic.v1 import job_pb2
from dl4mic_client import words

if TYPE_CHECKING:
    from rich.progress import TaskID

    from dl4mic_client.bars import BarWithText
    from dl4mic_client.transfer import TransferProgress

_RATE_WINDOW = 20
_LINE_EVERY_SECONDS = 10.0
_LINE_EVERY_SHARE = 0.1
_LOSSES = ("loss", "val_loss")
_MOST_METRICS = 2
_WAITING = "waiting"


class Display(Protocol):
    """Shows a job's events and the transfer of files."""

    def show(self, event: job_pb2.JobEvent) -> None:
        """Show an event."""

    def show_transfer(self, transfer: TransferProgress) -> None:
        """Show how far a transfer is."""

    def close(self) -> None:
        """Leave the terminal as it was."""


@dataclass
class Course:
    """Where a job stands, folded from its events.

    Attributes
    ----------
    state : str
        Name of the state in lower case.
    waiting_reason : str
        Why it does not run yet, and why the attempt before ended.
    progress : dl4mic.v1.job_pb2.Progress
        The newest.
    losses : dict of str to float
        Newest value of each metric that is a loss, in the order in which they came first.
    """

    state: str = ""
    waiting_reason: str = ""
    progress: job_pb2.Progress = field(default_factory=job_pb2.Progress)
    losses: dict[str, float] = field(default_factory=dict)
    _passed: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=_RATE_WINDOW))

    def take(self, event: job_pb2.JobEvent) -> None:
        """Fold an event in."""
        kind = event.WhichOneof("event")
        if kind == "state":
            self.state = job_pb2.Job.State.Name(event.state.state).lower()
            self.waiting_reason = _waiting_words(event.state)
        elif kind == "progress":
            self._take_progress(event)
        elif kind == "metric" and "loss" in event.metric.name:
            self.losses[event.metric.name] = event.metric.value

    def _take_progress(self, event: job_pb2.JobEvent) -> None:
        begun_anew = event.progress.done < self.progress.done
        if event.progress.phase != self.progress.phase or begun_anew:
            self._passed.clear()
        self.progress = event.progress
        self._passed.append((event.time.ToNanoseconds() / 1e9, event.progress.done))

    @property
    def rate(self) -> float:
        """What is done in a second, over the last reports; 0 when not known."""
        if len(self._passed) < 2:
            return 0.0
        (begun, first), (now, last) = self._passed[0], self._passed[-1]
        return (last - first) / (now - begun) if now > begun else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Time left of the phase: what the job says, else what its rate makes of it."""
        if self.progress.HasField("seconds_left"):
            return self.progress.seconds_left
        if not self.rate or not self.progress.total:
            return None
        return (self.progress.total - self.progress.done) / self.rate

    def figures(self) -> str:
        """Words for losses, rate and failures: "loss 0.123, 2.1 epochs/s"."""
        named = [name for name in _LOSSES if name in self.losses] or list(self.losses)
        parts = [f"{name} {self.losses[name]:.4g}" for name in named[:_MOST_METRICS]]
        if self.rate:
            parts.append(words.rate(self.rate, self.progress.unit or "items"))
        if self.progress.failed:
            parts.append(f"{self.progress.failed} failed")
        return ", ".join(parts)


def display(stream: TextIO, *, quiet: bool = False) -> Display:
    """Return what suits the stream: a bar on a terminal, lines elsewhere, nothing when quiet."""
    if quiet:
        return Silence()
    return Bar(stream) if stream.isatty() else Lines(lambda line: print(line, file=stream))


class Silence:
    """Shows nothing."""

    def show(self, event: job_pb2.JobEvent) -> None:
        """Show nothing."""

    def show_transfer(self, transfer: TransferProgress) -> None:
        """Show nothing."""

    def close(self) -> None:
        """Do nothing."""


class Lines:
    """Writes a line when something changed, and now and then while work goes on.

    Parameters
    ----------
    write : callable
        Takes each line, without its end.
    """

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._course = Course()
        self._said = ""
        self._said_at = 0.0
        self._said_share = 0.0
        self._phase: str | None = None

    def show(self, event: job_pb2.JobEvent) -> None:
        """Write a line if the event is news."""
        self._course.take(event)
        kind = event.WhichOneof("event")
        if kind == "state":
            self._say(_state_words(self._course))
        elif kind == "warning":
            self._say(f"warning: {_message(event)}")
        elif kind == "progress" and self._is_due(event):
            self._say(_progress_words(self._course))

    def show_transfer(self, transfer: TransferProgress) -> None:
        """Write a line when the transfer begins and ends."""
        begun = transfer.verb not in self._said
        if begun or transfer.done_bytes == transfer.total_bytes:
            self._say(_transfer_words(transfer))

    def close(self) -> None:
        """Do nothing."""

    def _is_due(self, event: job_pb2.JobEvent) -> bool:
        progress = event.progress
        now = event.time.ToNanoseconds() / 1e9
        share = progress.done / progress.total if progress.total else 0.0
        due = (
            progress.phase != self._phase
            or now - self._said_at >= _LINE_EVERY_SECONDS
            or share - self._said_share >= _LINE_EVERY_SHARE
            or share >= 1
        )
        if due:
            self._phase, self._said_at, self._said_share = progress.phase, now, share
        return due

    def _say(self, line: str) -> None:
        if line and line != self._said:
            self._write(line)
            self._said = line


class Bar:
    """Draws a bar on a terminal.

    Parameters
    ----------
    stream : text stream
        The terminal.
    """

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console

        self._console = Console(file=stream, highlight=False)
        self._course = Course()
        self._bars: BarWithText | None = None
        self._task: TaskID | None = None
        self._kind = ""

    def show(self, event: job_pb2.JobEvent) -> None:
        """Draw what changed."""
        self._course.take(event)
        kind = event.WhichOneof("event")
        if kind == "warning":
            self._console.print(f"warning: {_message(event)}", markup=False)
        elif kind == "state":
            self._show_state()
        elif kind in ("progress", "metric"):
            self._show_progress()

    def show_transfer(self, transfer: TransferProgress) -> None:
        """Draw how far the transfer is."""
        self._draw(
            transfer.verb,
            done=transfer.done_bytes,
            total=transfer.total_bytes,
            amount=f"{words.size(transfer.done_bytes)} of {words.size(transfer.total_bytes)}",
            figures=transfer.name,
            left="",
        )

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._bars is not None:
            self._bars.stop()
            self._bars = self._task = None

    def _show_state(self) -> None:
        if self._course.state in ("pending", "starting"):
            reason = self._course.waiting_reason or self._course.state
            self._draw(_WAITING, done=0, total=None, amount="", figures=reason, left="")
        elif self._course.state == "running":
            self._show_progress()
        else:
            self.close()

    def _show_progress(self) -> None:
        progress, left = self._course.progress, self._course.seconds_left
        self._draw(
            progress.phase or "working",
            done=progress.done,
            total=progress.total or None,
            amount=_amount(progress),
            figures=self._course.figures(),
            left="" if left is None else f"{words.duration(left)} left",
        )

    def _draw(
        self, kind: str, *, done: float, total: float | None, amount: str, figures: str, left: str
    ) -> None:
        if kind != self._kind:
            self.close()  # what is done stays on the screen, the next phase goes below
        self._kind = kind
        bars = self._bars or self._open(transient=kind == _WAITING)
        if self._task is None:
            self._task = bars.add_task(kind, total=total, amount=amount, left=left)
        bars.update(self._task, completed=done, total=total, amount=amount, left=left)
        bars.below = figures

    def _open(self, *, transient: bool) -> BarWithText:
        from dl4mic_client.bars import open_bar

        self._bars = open_bar(self._console, transient=transient)
        return self._bars


def _waiting_words(change: job_pb2.StateChange) -> str:
    if change.state not in (job_pb2.Job.PENDING, job_pb2.Job.STARTING):
        return ""
    before = f"({change.error.message})" if change.error.message else ""
    return f"{change.waiting_reason} {before}".strip()


def _message(event: job_pb2.JobEvent) -> str:
    warning: Any = event.warning  # mypy takes the message named Warning for Python's own
    return str(warning.message)


def _state_words(course: Course) -> str:
    if course.waiting_reason:
        return f"{course.state}: {course.waiting_reason}"
    return course.state


def _amount(progress: job_pb2.Progress) -> str:
    if not progress.total:
        return f"{progress.done:.12g} {progress.unit}".strip() if progress.done else ""
    return f"{progress.done:.12g}/{progress.total:.12g} {progress.unit}".strip()


def _progress_words(course: Course) -> str:
    left = course.seconds_left
    parts = [_amount(course.progress), course.figures()]
    parts.append("" if left is None else f"{words.duration(left)} left")
    phase = course.progress.phase or "working"
    return f"{phase} {', '.join(part for part in parts if part)}".strip()


def _transfer_words(transfer: TransferProgress) -> str:
    done, total = words.size(transfer.done_bytes), words.size(transfer.total_bytes)
    return f"{transfer.verb} {done} of {total}"
