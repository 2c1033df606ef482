# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import errno
import resource
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator

import numpy as np
import pytest

from dl4mic_sdk.diagnosis import fault_of
from dl4mic_sdk.images import Image, write

IMAGE = Image(np.random.default_rng(0).random((130, 63)).astype(np.float32), "YX")
"""Of 7 * 4096 + 4088 bytes: its last 4088 wait in a buffer until the file is closed."""


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Refuse to write more of any file, as a full disk does."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("missing", [1, 2000, 20000])
def test_an_image_that_lacks_its_end_is_not_taken_for_written(tmp_path: Path, missing: int) -> None:
    write(tmp_path / "whole.tif", IMAGE)
    size = (tmp_path / "whole.tif").stat().st_size
    with pytest.raises(OSError) as caught, files_of_at_most(size - missing):
        write(tmp_path / "a.tif", IMAGE)
    # An old tifffile passes the system's own error on, which of a limit is another one than of a full disk.
    assert caught.value.errno == errno.EFBIG or fault_of(caught.value)["code"] == "DISK_FULL"
    assert not (tmp_path / "a.tif").exists()
