# SPDX-License-Identifier: BSD-3-Clause
"""The store's reserve is given up piece by piece while the disk is full, and taken again afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest

from dl4mic_orchestrator.store import reserve
from dl4mic_orchestrator.store.reserve import Reserve


def test_pieces_come_and_go_with_the_free_space(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = {"bytes": 10_000}
    monkeypatch.setattr(reserve, "_free_bytes", lambda _folder: free["bytes"])
    kept = Reserve(tmp_path / "r", pieces=3, piece_bytes=1000)

    def held_after(now_free: int) -> int:
        free["bytes"] = now_free
        kept.look()
        pieces = list((tmp_path / "r").iterdir())
        assert all(piece.stat().st_size == 1000 for piece in pieces)
        return len(pieces)

    assert held_after(10_000) == 3
    assert [held_after(999) for _ in range(4)] == [2, 1, 0, 0]
    assert held_after(6_000) == 0  # it would fill the disk again
    assert held_after(6_001) == 3
    assert held_after(1_000) == 3
