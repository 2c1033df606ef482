# SPDX-License-Identifier: BSD-3-Clause
"""Makes an orchestrator stand still at the step that a job's id begins with, so that it can be killed just there.

Python imports this at its start where the folder is on PYTHONPATH; services do not inherit that. A job that has come
to its step leaves a file of its name in the folder DL4MIC_TEST_PAUSES, and waits there until it is removed.
"""

from __future__ import annotations

import functools
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def pause(step: str, job_id: str) -> None:
    """Wait at a step, once, if the job is to stand still there."""
    if not job_id.startswith(f"{step}-"):
        return
    mark = Path(os.environ["DL4MIC_TEST_PAUSES"]) / job_id
    if not mark.with_suffix(".passed").exists():
        mark.with_suffix(".passed").touch()
        mark.touch()
        while mark.exists():
            time.sleep(0.02)


def before(owner: type, name: str, step: str, job_of: Callable[..., str]) -> None:
    """Have a method's callers pause before it is called."""
    _wrap(owner, name, step, job_of, after=False)


def after(owner: type, name: str, step: str, job_of: Callable[..., str]) -> None:
    """Have a method's callers pause when it has returned."""
    _wrap(owner, name, step, job_of, after=True)


def _wrap(owner: type, name: str, step: str, job_of: Callable[..., str], *, after: bool) -> None:
    method = getattr(owner, name)

    @functools.wraps(method)
    def paused(*arguments: Any, **more: Any) -> Any:
        job_id = job_of(*arguments, **more)
        if not after:
            pause(step, job_id)
        result = method(*arguments, **more)
        if after:
            pause(step, job_id)
        return result

    setattr(owner, name, paused)


def _job_of_instance(instance_id: str) -> str:
    return instance_id.rpartition("-")[0]


def install() -> None:
    """Put the pauses into the orchestrator's modules."""
    from dl4mic_orchestrator.backends.local import LocalBackend
    from dl4mic_orchestrator.data_check import DataCheck
    from dl4mic_orchestrator.dial import Dial
    from dl4mic_orchestrator.records import JobState
    from dl4mic_orchestrator.registry import Registry
    from dl4mic_orchestrator.store.jobs import JobStore

    def of_spec(_backend: object, spec: Any, *_: object) -> str:
        return _job_of_instance(spec.instance_id)

    def of_state(_backend: object, state: Any, *_: object) -> str:
        return _job_of_instance(Path(state["socket"]).stem)

    def of_success(_store: object, job_id: str, attempt: int, state: JobState, **_: object) -> str:
        return job_id if state is JobState.SUCCEEDED else ""

    def of_preparation(_backend: object, _service: object, progress: Any) -> str:
        return (getattr(progress, "_job", None) and progress._job.id) or ""

    before(DataCheck, "run", "check", lambda _, folder, progress: folder.parent.name)
    before(LocalBackend, "prepare", "environment", of_preparation)
    before(LocalBackend, "launch", "launch", of_spec)
    after(LocalBackend, "_start", "started", lambda _, command, spec: of_spec(_, spec))
    before(Dial, "assign", "call", lambda _, request: request.options.job_id)
    after(Dial, "assign", "called", lambda _, request: request.options.job_id)
    before(LocalBackend, "stop", "end", of_state)
    before(Registry, "publish", "publish", lambda _, folder, origin: origin.job_id)
    after(Registry, "publish", "published", lambda _, folder, origin: origin.job_id)
    before(JobStore, "change_state", "finish", of_success)


if "dl4mic_orchestrator" in sys.orig_argv and "DL4MIC_TEST_PAUSES" in os.environ:
    install()
