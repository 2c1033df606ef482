# SPDX-License-Identifier: BSD-3-Clause
"""Versions of installed distributions, read without importing them."""

from __future__ import annotations

import sys
from typing import Dict, Sequence

if sys.version_info >= (3, 8):
    from importlib import metadata
else:
    import importlib_metadata as metadata


def installed_versions(names: Sequence[str]) -> Dict[str, str]:
    """Return name -> version of those of the distributions that are installed here."""
    versions: Dict[str, str] = {}
    for name in names:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions
