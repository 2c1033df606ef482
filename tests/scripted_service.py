# SPDX-License-Identifier: BSD-3-Clause
"""A service that does as a script has it, and writes what it says where a real one does."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from google.protobuf.json_format import MessageToDict

from dl4mic.v1.job_pb2 import Job, JobEvent


@dataclass
class Service:
    """A running service, which outlives the orchestrator that launched it, and does as it likes."""

    job_id: str
    attempt: int
    folder: Path
    alive: bool = True
    serving: bool = True
    deaf: bool = False
    assigned: bool = False
    ended: bool = False
    stream: str = "fine"
    launch: int = 0
    events: list[JobEvent] = field(default_factory=list)

    def say(self, event: JobEvent, *, torn: bool = False) -> None:
        """Write an event; a torn one is what a dying writer leaves."""
        event.sequence = event.sequence or len(self.events) + 1
        event.attempt = event.attempt or self.attempt
        line = json.dumps(MessageToDict(event)) + "\n"
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "events.jsonl").open("a") as file:
            file.write(line[: len(line) // 2] if torn else line)
        if not torn:
            self.events.append(event)

    def say_state(self, state: str, code: int = 0) -> None:
        event = JobEvent()
        event.state.state = Job.State.Value(state)
        if code:
            event.state.error.code = code
            event.state.error.message = "as the script has it"
        self.say(event)

    def make_model(self) -> None:
        model = self.folder / "artifacts" / "model"
        model.mkdir(parents=True, exist_ok=True)
        record = {"network": "blur", "parameters": {}, "weights": ["best"], "launch": self.launch}
        (model / "model.json").write_text(json.dumps(record))

    def end(self, state: str, code: int = 0) -> None:
        if not self.ended:
            self.ended = True
            self.say_state(state, code)
