# SPDX-License-Identifier: BSD-3-Clause
"""Which network a model from elsewhere is of: as its own record says, or by the formats that networks import."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Iterable
from pathlib import Path

from dl4mic.check import OWN_FORMAT
from dl4mic.v1 import network_pb2
from dl4mic_client import transfer
from dl4mic_client.errors import Refused

_RECORD = "model.json"
_LARGEST_RECORD_BYTES = 64 << 20


def network_of_source(source: str | os.PathLike[str]) -> str:
    """Return the network that a folder or ZIP archive on this machine names in its model.json; else nothing."""
    if transfer.is_location(source):
        return ""
    path = transfer.existing(source, "source")
    try:
        text = _record_of_folder(path) if path.is_dir() else _record_of_archive(path)
        return str(json.loads(text)["network"])
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile):
        return ""  # not a model of ours


def network_that_imports(format: str, networks: Iterable[network_pb2.Network]) -> str:
    """Return the one network that imports a format (empty: any format).

    Raises
    ------
    Refused
        None or several do: the user must say which.
    """
    known = list(networks)
    able = [each.name for each in known if _imports(each, format)]
    if len(able) == 1:
        return able[0]
    what = f"models of the format {format!r}" if format else "models of other programs"
    if not able:
        formats = sorted(
            {each.name for net in known for each in net.model_formats if each.imported}
        )
        hint = f"There are the formats {', '.join([OWN_FORMAT, *formats])}."
        raise Refused(f"network: no network of the server imports {what}.", hint)
    raise Refused(
        f"network: the model does not say which network it is of, and several import {what}.",
        f"Name one of them with --network or network=: {', '.join(able)}.",
    )


def _imports(network: network_pb2.Network, format: str) -> bool:
    if format == OWN_FORMAT:
        return True
    return any(each.imported and format in ("", each.name) for each in network.model_formats)


def _record_of_folder(folder: Path) -> str:
    return (folder / _RECORD).read_text(encoding="utf-8")


def _record_of_archive(path: Path) -> str:
    """Read the record at the top of an archive, or in the one folder that it holds."""
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            folder, _, last = name.rpartition("/")
            if last == _RECORD and "/" not in folder:
                with archive.open(name) as file:
                    return file.read(_LARGEST_RECORD_BYTES).decode("utf-8")
    raise KeyError(_RECORD)
