# SPDX-License-Identifier: BSD-3-Clause
"""Find the Python that a service's lock supports."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path


def find_python(versions: Sequence[str], environment: Mapping[str, str]) -> str:
    """Find an interpreter of the first version that there is.

    pyenv is searched by its prefix, since its shims answer only for the version that is switched on.

    Parameters
    ----------
    versions
        "3.11", the preferred one first.

    Returns
    -------
    str
        Path of an interpreter; where none is found, the first version itself: uv may know one, or fetch it.
    """
    for version in versions:
        for candidate in _candidates(version, environment):
            if _is_version(candidate, version, environment):
                return str(candidate)
    return versions[0]


def _candidates(version: str, environment: Mapping[str, str]) -> Iterator[Path]:
    root = Path(environment.get("PYENV_ROOT") or Path(environment.get("HOME", "/")) / ".pyenv")
    installed = [*root.glob(f"versions/{version}"), *root.glob(f"versions/{version}.*")]
    for prefix in sorted(installed, key=_patch, reverse=True):
        yield prefix / "bin" / "python"
    found = shutil.which(f"python{version}", path=environment.get("PATH"))
    if found:
        yield Path(found)


def _patch(prefix: Path) -> int:
    last = prefix.name.rpartition(".")[2]
    return int(last) if last.isdigit() else -1


def _is_version(python: Path, version: str, environment: Mapping[str, str]) -> bool:
    """Ask the interpreter itself: a shim or a broken link has the right name, too."""
    command = [str(python), "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    try:
        result = subprocess.run(
            command, env=dict(environment), capture_output=True, text=True, check=False, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return result.stdout.strip() == version
