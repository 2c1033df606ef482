# SPDX-License-Identifier: BSD-3-Clause
"""Exported TensorFlow bundles, opened as Fiji's plug-ins open them."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import peer


def unpacked(archive: Path, folder: Path) -> dict[str, Any]:
    """Unpack a bundle; return its ``meta.json``, empty where it has none."""
    with zipfile.ZipFile(archive) as packed:
        assert "saved_model.pb" in packed.namelist()  # at the top, where the plug-ins look for it
        packed.extractall(folder)
    meta = folder / "meta.json"
    return dict(json.loads(meta.read_text(encoding="utf-8"))) if meta.exists() else {}


def answer(folder: Path, pixels: np.ndarray) -> np.ndarray:
    """Run an unpacked bundle on (batch, (z,) y, x, channels) in the TensorFlow that Fiji brings."""
    given, answered = (folder.with_name(f"{folder.name}-{each}.npy") for each in ("in", "out"))
    np.save(given, pixels)
    peer.run("fiji", "predict.py", folder, given, answered)
    return np.asarray(np.load(answered))
