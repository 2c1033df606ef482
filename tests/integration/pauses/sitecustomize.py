# SPDX-License-Identifier: BSD-3-Clause
"""Makes an orchestrator stand still at the step that a job's id begins with, so that it can be killed just there.

Python imports this at its start where the folder is on PYTHONPATH; services do not inherit that. A job that has come
to its step leaves a file of its name in the folder DL4MIC_TEST_PAUSES, and waits there until it is removed.
"""

from __future__ import annotations

import functools
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any


def pause(step: str, job_id: str, pid: int = 0) -> None:
    """Wait at a step, once, if the job is to stand still there; a process of the job is stopped meanwhile."""
    if not job_id.startswith(f"{step}-"):
        return
    mark = Path(os.environ["DL4MIC_TEST_PAUSES"]) / job_id
    if not mark.with_suffix(".passed").exists():
        mark.with_suffix(".passed").touch()
        if pid:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        mark.touch()
        while mark.exists():
            time.sleep(0.02)
        if pid:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def before(
    owner: type,
    name: str,
    step: str,
    job_of: Callable[..., str],
    process_of: Callable[..., int] = lambda *_, **__: 0,
) -> None:
    """Have a method's callers pause before it is called, perhaps with a process stopped."""
    _wrap(owner, name, step, job_of, process_of, after=False)


def after(owner: type, name: str, step: str, job_of: Callable[..., str]) -> None:
    """Have a method's callers pause when it has returned."""
    _wrap(owner, name, step, job_of, lambda *_, **__: 0, after=True)


def inside(step: str, has_begun: Callable[[int], bool]) -> None:
    """Stop a program that runs for a job once its work has begun, and have who waits for its end pause."""
    from dl4mic_orchestrator import subprocesses

    wait = subprocesses._await_end

    @functools.wraps(wait)
    def paused(pid: int, check: Callable[[], None]) -> None:
        job_id = _job_of(getattr(check, "__self__", None))
        if job_id.startswith(f"{step}-") and _await_begin(pid, has_begun):
            pause(step, job_id, pid)
        wait(pid, check)

    subprocesses._await_end = paused


def _await_begin(pid: int, has_begun: Callable[[int], bool]) -> bool:
    """Wait until a program is at the work that is meant; False for one that ends without it."""
    while _content(pid, "maps"):  # nothing, when it has ended
        if has_begun(pid):
            return True
        time.sleep(0.001)
    return False


def _content(pid: int, name: str) -> bytes:
    return Path(f"/proc/{pid}/{name}").read_bytes()


def _checks_data(pid: int) -> bool:
    """Say whether a process is a data check that has loaded what it reads images with."""
    return b"dl4mic_sdk.data_check" in _content(pid, "cmdline") and b"umath" in _content(pid, "maps")  # fmt: skip


def _installs(pid: int) -> bool:
    """Say whether a process is uv, with the first packages of an environment in their place."""
    words = _content(pid, "cmdline").decode().split("\0")
    if "sync" not in words:
        return False
    folder = Path(words[words.index("--python") + 1]).parents[1]
    return any(folder.glob("lib/*/site-packages/numpy"))


def _job_of(progress: Any) -> str:
    """Name the job whose work reports its progress."""
    return (getattr(progress, "_job", None) and progress._job.id) or ""


def _wrap(
    owner: type,
    name: str,
    step: str,
    job_of: Callable[..., str],
    process_of: Callable[..., int],
    *,
    after: bool,
) -> None:
    method = getattr(owner, name)

    @functools.wraps(method)
    def paused(*arguments: Any, **more: Any) -> Any:
        job_id = job_of(*arguments, **more)
        if not after:
            pause(step, job_id, process_of(*arguments, **more))
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

    inside("check", _checks_data)
    inside("install", _installs)
    before(LocalBackend, "prepare", "environment", lambda _, service, progress: _job_of(progress))
    before(LocalBackend, "launch", "launch", of_spec)
    after(LocalBackend, "_start", "started", lambda _, command, spec: of_spec(_, spec))
    before(Dial, "assign", "call", lambda _, request: request.options.job_id)
    after(Dial, "assign", "called", lambda _, request: request.options.job_id)
    # An instance ends by itself, too, a moment after its job; it is stopped in that moment, or has ended already.
    before(LocalBackend, "stop", "end", of_state, lambda _, state, *more: state.get("pid", 0))
    before(Registry, "publish", "publish", lambda _, folder, origin: origin.job_id)
    after(Registry, "publish", "published", lambda _, folder, origin: origin.job_id)
    before(JobStore, "change_state", "finish", of_success)


if "dl4mic_orchestrator" in sys.orig_argv and "DL4MIC_TEST_PAUSES" in os.environ:
    install()
