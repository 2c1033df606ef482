# SPDX-License-Identifier: BSD-3-Clause
"""The csbdeep library, imported in silence on the TensorFlow that `dl4mic_keras` has set up."""

from __future__ import annotations

import warnings

import dl4mic_keras.framework  # noqa: F401  TensorFlow must be set up before the library imports it

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from csbdeep.models import CARE, Config

__all__ = ["CARE", "Config"]
