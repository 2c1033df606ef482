# SPDX-License-Identifier: BSD-3-Clause
"""The stardist library, imported in silence on the TensorFlow that `dl4mic_keras` has set up."""

from __future__ import annotations

import warnings

import dl4mic_keras.framework  # noqa: F401  TensorFlow must be set up before the library imports it

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from stardist.models import Config2D, Config3D, StarDist2D, StarDist3D

__all__ = ["Config2D", "Config3D", "StarDist2D", "StarDist3D"]
