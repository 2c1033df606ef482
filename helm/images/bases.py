# SPDX-License-Identifier: BSD-3-Clause
"""Own the images that ours are made from: read their lock, and resolve it anew (``make lock-images``)."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

LOCK = Path(__file__).with_name("bases.yaml")
UNRESOLVED = "unresolved"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class Base:
    """An image that others are made from; without a digest it is what its tag is on the day."""

    image: str
    digest: str

    @property
    def resolved(self) -> bool:
        """Say whether it is always the same."""
        return self.digest != UNRESOLVED

    @property
    def reference(self) -> str:
        """Name it for a build."""
        return f"{self.image}@{self.digest}" if self.resolved else self.image


def read_bases(path: Path | None = None) -> dict[str, Base]:
    """Read the lock: Python version -> base.

    Raises
    ------
    ValueError
        An entry has no image, or its digest is neither one nor the word that it is not resolved.
    """
    path = path or LOCK
    bases = {}
    for version, entry in yaml.safe_load(path.read_text(encoding="utf-8")).items():
        base = Base(str(entry.get("image", "")), str(entry.get("digest", "")))
        if not base.image or (base.resolved and not _DIGEST.fullmatch(base.digest)):
            raise ValueError(
                f"{path.name}: {version}: expected an image, and a digest sha256:... or {UNRESOLVED}"
            )
        bases[str(version)] = base
    return bases


def write_bases(bases: Mapping[str, Base]) -> None:
    """Write the lock, its comment kept."""
    comment = "".join(
        line for line in LOCK.read_text(encoding="utf-8").splitlines(True) if line.startswith("#")
    )
    entries = (
        f'"{version}":\n  image: {base.image}\n  digest: {base.digest}\n'
        for version, base in bases.items()
    )
    LOCK.write_text(comment + "".join(entries), encoding="utf-8")


def digest_of(image: str) -> str:
    """Ask an image's registry for its digest.

    Raises
    ------
    ValueError
        It cannot be asked, or what it answers is no digest.
    """
    skopeo = shutil.which("skopeo")
    if skopeo is None:
        raise ValueError("skopeo, which asks registries, is not installed")
    command = [skopeo, "inspect", "--format", "{{.Digest}}", f"docker://{image}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError((done.stderr.strip().splitlines() or ["it did not answer"])[-1])
    if not _DIGEST.fullmatch(done.stdout.strip()):
        raise ValueError(f"the registry answered {done.stdout.strip()!r}, which is no digest")
    return done.stdout.strip()


def main() -> int:
    """Resolve every digest that can be; what cannot stays as it was. Return the exit status."""
    bases, failed = read_bases(), False
    for version, base in bases.items():
        try:
            bases[version] = replace(base, digest=digest_of(base.image))
        except ValueError as error:
            failed = True
            print(f"{base.image}: stays {base.digest}: {error}", file=sys.stderr)
        else:
            print(bases[version].reference)
    write_bases(bases)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
