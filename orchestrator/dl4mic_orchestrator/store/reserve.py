# SPDX-License-Identifier: BSD-3-Clause
"""Room on the store's disk that is kept for the store: when jobs have filled the disk, it must take how they ended."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path

PIECES = 8
PIECE_BYTES = 1 << 20
"""A job's end takes a few pages of 4 KiB; a piece is given up for hundreds of them, whoever else writes meanwhile."""


class Reserve:
    """Files that hold room, given up one by one while the disk is full, and made again when it is not.

    Parameters
    ----------
    folder
        On the store's disk; made when it is looked at, if it is not there.
    pieces, piece_bytes
        How much room.
    """

    def __init__(self, folder: Path, pieces: int = PIECES, piece_bytes: int = PIECE_BYTES) -> None:
        self._pieces = [folder / str(number) for number in range(pieces)]
        self._piece_bytes = piece_bytes
        self._folder = folder
        self._lock = threading.Lock()

    def look(self) -> None:
        """Give up a piece if the disk is about full; make the missing ones if there is room for all, and more."""
        # A reserve that cannot be had must not keep the store from what it can write still.
        with self._lock, suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            free = _free_bytes(self._folder)
            held = [piece for piece in self._pieces if piece.exists()]
            if free < self._piece_bytes:
                for piece in held[:1]:
                    piece.unlink()
            elif free > 2 * self._piece_bytes * len(self._pieces):
                for piece in set(self._pieces) - set(held):
                    _hold(piece, self._piece_bytes)


def _free_bytes(folder: Path) -> int:
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize


def _hold(piece: Path, count: int) -> None:
    """Take room; by another name first, so that a piece is whole or not there."""
    partial = piece.with_suffix(".partial")
    with partial.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, count)
    partial.replace(piece)
