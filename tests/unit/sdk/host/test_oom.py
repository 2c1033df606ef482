# SPDX-License-Identifier: BSD-3-Clause
"""Whom the kernel killed for want of memory is counted from recorded trees of /proc and /sys/fs/cgroup."""

from __future__ import annotations

import os

import pytest

from dl4mic_sdk.host.oom import counter_of

EVENTS = "low 0\nhigh 12\nmax 3077\noom 4\noom_kill {}\noom_group_kill 0\n"
"""memory.events of Linux 6."""
CONTROL = "oom_kill_disable 0\nunder_oom 0\noom_kill {}\n"
"""memory.oom_control of Linux 4.13 and later."""
OLD_CONTROL = "oom_kill_disable 0\nunder_oom 0\n"
VMSTAT = "nr_free_pages 1000\noom_kill {}\nnuma_hit 5\n"

V1 = "9:name=systemd:/\n4:memory:/docker/f00\n2:cpu,cpuacct:/docker/f00\n0::/\n"
V2 = "0::/user.slice/session-3.scope\n"


class Machine:
    """A recorded machine."""

    def __init__(self, folder, groups):
        self.proc, self.mounts = folder / "proc", folder / "cgroup"
        self.write(self.proc / "7" / "cgroup", groups)

    def write(self, path, text):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def counter(self):
        return counter_of(7, self.proc, self.mounts)


@pytest.mark.parametrize(
    ("groups", "file", "text"),
    [
        (V2, "cgroup/user.slice/session-3.scope/memory.events", EVENTS),
        (V2, "cgroup/memory.events", EVENTS),  # a container: the path is the machine's
        ("0::/\n", "cgroup/memory.events", EVENTS),
        (V2, "cgroup/unified/user.slice/memory.events", EVENTS),
        (V1, "cgroup/memory/docker/f00/memory.oom_control", CONTROL),
        (V1, "cgroup/memory/memory.oom_control", CONTROL),
        (V1, "proc/vmstat", VMSTAT),
        ("", "proc/vmstat", VMSTAT),
    ],
)
def test_the_counter_is_found_and_read_again(tmp_path, groups, file, text):
    machine = Machine(tmp_path, groups)
    machine.write(tmp_path / file, text.format(2))
    count = machine.counter()
    assert count() == 2
    machine.write(tmp_path / file, text.format(3))
    assert count() == 3


def test_the_nearest_group_counts(tmp_path):
    machine = Machine(tmp_path, V1)
    machine.write(tmp_path / "cgroup/memory/memory.oom_control", CONTROL.format(9))
    machine.write(tmp_path / "cgroup/memory/docker/f00/memory.oom_control", CONTROL.format(1))
    machine.write(tmp_path / "proc/vmstat", VMSTAT.format(10))
    assert machine.counter()() == 1


def test_a_kernel_that_does_not_count_by_group_counts_for_the_machine(tmp_path):
    machine = Machine(tmp_path, V1)
    machine.write(tmp_path / "cgroup/memory/docker/f00/memory.oom_control", OLD_CONTROL)
    machine.write(tmp_path / "proc/vmstat", VMSTAT.format(4))
    assert machine.counter()() == 4


def test_without_any_counter_nothing_is_counted(tmp_path):
    assert counter_of(8, tmp_path / "proc", tmp_path / "cgroup")() == 0


def test_this_machine_s_files_can_be_read():
    assert counter_of(os.getpid())() >= 0
