# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any, Callable

import numpy as np
import pytest

from dl4mic_sdk.array_on_disk import ArrayOnDisk

SHAPE = (3, 500, 400)


def failing(number: int) -> Callable[..., None]:
    def fail(*_: Any) -> None:
        raise OSError(number, os.strerror(number))

    return fail


def test_its_room_is_taken_before_anything_is_written(tmp_path: Path) -> None:
    array = ArrayOnDisk(tmp_path / "a", SHAPE, np.float32)
    status = (tmp_path / "a").stat()
    assert status.st_size == 3 * 500 * 400 * 4 <= status.st_blocks * 512
    assert not array[...].any()


@pytest.mark.parametrize("lack", [errno.EOPNOTSUPP, errno.EINVAL, None])
def test_without_a_call_for_it_zeros_take_the_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lack: Any
) -> None:
    if lack is None:
        monkeypatch.delattr(os, "posix_fallocate")
    else:
        monkeypatch.setattr(os, "posix_fallocate", failing(lack))
    array = ArrayOnDisk(tmp_path / "a", SHAPE, np.uint16)
    assert (tmp_path / "a").stat().st_size == 3 * 500 * 400 * 2
    array[1, 3:5, ::100] = 7
    assert int(array[...].sum()) == 8 * 7


@pytest.mark.parametrize("lack", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_without_room_is_told_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lack: int
) -> None:
    monkeypatch.setattr(os, "posix_fallocate", failing(lack))
    with pytest.raises(OSError) as caught:
        ArrayOnDisk(tmp_path / "a", SHAPE, np.float32)
    assert caught.value.errno == lack and not (tmp_path / "a").exists()
