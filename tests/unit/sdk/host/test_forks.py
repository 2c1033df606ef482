# SPDX-License-Identifier: BSD-3-Clause
"""gRPC does nothing in a serving process's children before they are programs of their own."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import os, sys, time, types

def serve(settings):
    from concurrent import futures
    import grpc

    server = grpc.server(futures.ThreadPoolExecutor(1))
    server.add_insecure_port("unix:" + sys.argv[1])
    server.start()
    time.sleep(0.5)  # gRPC's own threads begin
    child = os.fork()
    if child == 0:
        os._exit(10 + len(os.listdir("/proc/self/task")))
    os._exit(os.WEXITSTATUS(os.waitpid(child, 0)[1]))

host = types.ModuleType("dl4mic_sdk.host.serve")
host.serve, host.Settings = serve, dict
import logging
host.JsonFormatter = logging.Formatter
sys.modules[host.__name__] = host

from dl4mic_sdk.__main__ import main
main(["serve", "."])
"""
"""The command as it is, with a server that forks in the place of ours; its status is 10 and the number of
the child's threads."""


def test_a_child_has_the_thread_that_forked_alone(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "socket")],
        stderr=subprocess.PIPE,
        timeout=60,
    )
    assert done.returncode == 10 + 1, done.stderr
