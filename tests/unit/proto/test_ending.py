# SPDX-License-Identifier: BSD-3-Clause
"""A server ends when it is told to, whenever that is."""

import subprocess
import sys

import pytest

from dl4mic.ending import Ending

_WAIT = """
import os, signal, threading, time
from dl4mic.ending import Ending

ending = Ending()
ending.come_by_signals()
other = threading.Thread(target=time.sleep, args=(30,), daemon=True)
other.start()
{}
print(ending.wait(20), flush=True)
os._exit(0)
"""
_SENT = {
    "while it waits": "threading.Timer(0.3, os.kill, (os.getpid(), signal.{})).start()",
    "before it waits": "os.kill(os.getpid(), signal.{})",
    "to another thread": "threading.Timer(0.3, signal.pthread_kill, (other.ident, signal.{})).start()",
}


@pytest.mark.parametrize("number", ["SIGTERM", "SIGINT"])
@pytest.mark.parametrize("sent", list(_SENT.values()), ids=list(_SENT))
def test_a_signal_brings_it(sent: str, number: str) -> None:
    command = [sys.executable, "-c", _WAIT.format(sent.format(number))]
    done = subprocess.run(command, stdout=subprocess.PIPE, timeout=60, check=True)
    assert done.stdout == b"True\n"


def test_a_server_brings_it_itself() -> None:
    ending = Ending()
    assert not ending.wait(0.01)
    for _ in range(100_000):  # more than a pipe holds
        ending.come()
    assert ending.wait() and ending.wait()
