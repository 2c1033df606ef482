# SPDX-License-Identifier: BSD-3-Clause
"""Programs that are waited for: how they end, are ended, and die with whoever waits for them."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest
from servers import processes_with

from dl4mic_orchestrator import subprocesses

LASTING = [sys.executable, "-c", "import time; time.sleep(600)", "played-by-test-subprocesses"]


def gone(pids: list[int]) -> bool:
    return not any(os.path.exists(f"/proc/{pid}") for pid in pids)


def wait_for(condition: object) -> None:
    end = time.monotonic() + 60
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.05)


def test_status_and_words_come_back() -> None:
    program = "import sys; sys.stderr.write('so it is'); sys.exit(3)"
    status = subprocesses.run([sys.executable, "-c", program], dict(os.environ), lambda: None)
    assert status == (3, "so it is")


def test_who_is_interrupted_leaves_nothing() -> None:
    mark = f"{LASTING[-1]}-{os.getpid()}-interrupted"

    def check() -> None:
        if processes_with(mark):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        subprocesses.run([*LASTING[:-1], mark], dict(os.environ), check)
    wait_for(lambda: not processes_with(mark))


def test_a_program_dies_with_who_waits_for_it() -> None:
    mark = f"{LASTING[-1]}-{os.getpid()}-killed"
    program = (
        "import os\nfrom dl4mic_orchestrator import subprocesses\n"
        f"subprocesses.run({[*LASTING[:-1], mark]!r}, dict(os.environ), lambda: None)"
    )
    waiting = subprocess.Popen([sys.executable, "-c", program])
    wait_for(lambda: len(processes_with(mark)) >= 2)
    pids = [pid for pid in processes_with(mark) if pid != waiting.pid]
    waiting.kill()
    waiting.wait()
    wait_for(lambda: gone(pids))
