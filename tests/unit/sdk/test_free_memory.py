# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

from pathlib import Path
from typing import Dict, Optional

import pytest

from dl4mic_sdk.free_memory import free_memory

MACHINE = {"proc/meminfo": "MemTotal: 9000 kB\nMemFree: 10 kB\nMemAvailable: 4000 kB\n"}
TWO = {"sys/fs/cgroup/memory.max": "3000000\n", "sys/fs/cgroup/memory.current": "1000000\n"}
OPEN = dict(TWO, **{"sys/fs/cgroup/memory.max": "max\n"})
ONE = {
    "sys/fs/cgroup/memory/memory.limit_in_bytes": "500",
    "sys/fs/cgroup/memory/memory.usage_in_bytes": "700",
}


@pytest.mark.parametrize(
    "files, free",
    [
        ({}, None),
        (MACHINE, 4_096_000),
        (dict(MACHINE, **TWO), 2_000_000),
        (dict(MACHINE, **OPEN), 4_096_000),
        (dict(MACHINE, **ONE), 0),
    ],
)
def test_the_narrowest_limit_counts(
    tmp_path: Path, files: Dict[str, str], free: Optional[int]
) -> None:
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    assert free_memory(tmp_path) == free
