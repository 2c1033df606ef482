# SPDX-License-Identifier: BSD-3-Clause
"""A copy of the tree: pages may write into it, and see nothing that is not committed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from pages import ROOT


@pytest.fixture(scope="session")
def copy_of_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tracked files."""
    copy = tmp_path_factory.mktemp("copy") / "tree"
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True
    )
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, copy / name)
    return copy
