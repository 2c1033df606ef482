# SPDX-License-Identifier: BSD-3-Clause
"""How near an image is to one without noise."""

from __future__ import annotations

import numpy as np


def psnr(image: np.ndarray, clean: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB, the peak being the range of the clean image; nothing is rescaled."""
    error = np.mean((np.asarray(image, float) - clean) ** 2)
    return float(10 * np.log10(np.ptp(clean.astype(float)) ** 2 / error))
