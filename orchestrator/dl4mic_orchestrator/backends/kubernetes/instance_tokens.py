# SPDX-License-Identifier: BSD-3-Clause
"""Own what each instance asks of whoever calls it: whoever reaches a pod's port is not yet its orchestrator."""

from __future__ import annotations

import secrets
from pathlib import Path

_BYTES = 32


class InstanceTokens:
    """A file for each instance, which sees its own alone; people who may read the workspace may read the images, too.

    Parameters
    ----------
    folder
        For these files; it lies on a claim, and no pod can write there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def file(self, name: str) -> Path:
        """Name the file of an instance."""
        return self._folder / name

    def give(self, name: str) -> None:
        """Write a token for an instance, once: one that was launched already, unheard by us, has read the first."""
        file = self.file(name)
        if file.is_file():
            return
        self._folder.mkdir(exist_ok=True)
        draft = file.with_name(f".{name}")
        draft.write_text(secrets.token_urlsafe(_BYTES), encoding="ascii")
        draft.replace(file)

    def take(self, name: str) -> None:
        """Take away the token of an instance that has ended."""
        self.file(name).unlink(missing_ok=True)
