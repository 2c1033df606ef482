# SPDX-License-Identifier: BSD-3-Clause
"""The csbdeep library: imported behind TensorFlow's set-up, its model, and the file of its configuration."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dl4mic_keras.framework import quiet
from dl4mic_keras.untrusted import CONFIG_NAME

with quiet():
    from csbdeep.models import CARE, Config
    from csbdeep.version import __version__ as version

__all__ = ["CARE", "Config", "network_of", "version", "write_configuration"]


def network_of(config: Any) -> Any:
    """Build the library's model with random weights; nothing is written."""
    with quiet():
        return CARE(config, basedir=None)


def write_configuration(config: Any, folder: Path) -> None:
    """Write ``config.json`` as the library does."""
    (folder / CONFIG_NAME).write_text(json.dumps(vars(config)), encoding="utf-8")
