# SPDX-License-Identifier: BSD-3-Clause
"""Read where an instance says that it listens: a node tells of a pod's address up to a second after it has begun."""

from __future__ import annotations

import json
import os
from ipaddress import ip_address
from pathlib import Path

from dl4mic_orchestrator.backends.kubernetes.manifests import PORT

_MOST_BYTES = 200


def announced(file: Path) -> str:
    """Read an address, ``HOST:PORT``; empty where none was written yet, or what is there is none of an instance."""
    try:
        # Whoever writes there runs what others have written: no link is followed, and nothing is waited for.
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as open_file:
            address = json.loads(open_file.read(_MOST_BYTES))["address"]
        host, _, port = address.rpartition(":")
        can_be = not ip_address(host.strip("[]")).is_unspecified and port == str(PORT)
        return address if can_be else ""
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return ""
