# SPDX-License-Identifier: BSD-3-Clause
"""The n2v library: imported behind TensorFlow's set-up, and its model without the files that it writes by itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, Mapping

import numpy as np

from dl4mic_keras.framework import quiet
from dl4mic_keras.untrusted import CONFIG_NAME

with quiet():
    from n2v.models import N2V, N2VConfig
    from n2v.version import __version__ as version

__all__ = [
    "N2VConfig",
    "configured",
    "network_of",
    "version",
    "write_configuration",
]

_NOTHING = np.array([])
"""The library's configuration measures the images that it is given, all of them in memory; we do that ourselves."""


class _Model(N2V):  # type: ignore[misc]
    """The library's model; it would write its configuration, and warn, wherever it is made."""

    def _set_logdir(self) -> None:
        pass


def configured(values: Mapping[str, Any]) -> Any:
    """Make the library's configuration of stored or chosen values, complete as `vars` of another one."""
    return N2VConfig(_NOTHING, **values)


def network_of(config: Any) -> Any:
    """Build the library's model with random weights.

    Returns
    -------
    n2v.models.N2V
        With ``keras_model`` and ``prepare_for_training``; nothing is written.
    """
    with quiet():
        return _Model(config, name="model", basedir=None)


def write_configuration(config: Any, folder: Path) -> None:
    """Write ``config.json`` as the library does."""
    values: Dict[str, Any] = vars(config)
    (folder / CONFIG_NAME).write_text(json.dumps(values), encoding="utf-8")
