# SPDX-License-Identifier: BSD-3-Clause
"""What several tests of the SDK begin with."""

from __future__ import annotations

from pathlib import Path

import pytest
from data_folders import Folders


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    """A good data set, to be spoiled."""
    return Folders(tmp_path)
