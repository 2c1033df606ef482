# SPDX-License-Identifier: BSD-3-Clause
"""Turn the paths that an instance needs into mounts of their parts of the claims alone. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dl4mic_orchestrator.backends.kubernetes.settings import Volume


class NotOnVolumeError(ValueError):
    """A path lies on none of the claims."""


@dataclass(frozen=True)
class Volumes:
    """Where the folders of the orchestrator lie on claims; pods see them at the same paths.

    Attributes
    ----------
    places
        By absolute path of the folder.
    inside
        Folders that every image has at the same path.
    """

    places: Mapping[Path, Volume]
    inside: tuple[Path, ...] = ()

    def mounts(
        self, writes: Iterable[Path], reads: Iterable[Path]
    ) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Give the volumes of a pod and the mounts of its container.

        Raises
        ------
        NotOnVolumeError
            A path lies on none of the claims.
        """
        written = _outermost(writes)
        read = _outermost(path for path in reads if not _within(path, [*written, *self.inside]))
        mounts = [self._mount(path, read_only=False) for path in written]
        mounts += [self._mount(path, read_only=True) for path in read]
        # One volume for each claim: kubelets wait for ever for a second one of the same.
        writable = {claim for claim, mount in mounts if not mount["readOnly"]}
        names = {
            claim: f"claim-{number}" for number, claim in enumerate(sorted({c for c, _ in mounts}))
        }
        volumes = [_volume(name, claim, claim in writable) for claim, name in names.items()]
        return volumes, [{"name": names[claim], **mount} for claim, mount in mounts]

    def _mount(self, path: Path, *, read_only: bool) -> tuple[str, dict[str, Any]]:
        claim, sub_path = self._find(path)
        mount = {"mountPath": str(path), "readOnly": read_only}
        return claim, {**mount, "subPath": sub_path} if sub_path else mount

    def _find(self, path: Path) -> tuple[str, str]:
        for folder in sorted(self.places, key=lambda each: -len(each.parts)):
            if path.is_relative_to(folder):
                place = self.places[folder]
                parts = [place.sub_path, *path.relative_to(folder).parts]
                return place.claim, "/".join(part for part in parts if part)
        raise NotOnVolumeError(f"{path} lies neither in the workspace nor in a data root")


def _outermost(paths: Iterable[Path]) -> list[Path]:
    return list(_leave_out_nested(sorted(set(paths))))


def _leave_out_nested(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        if not _within(path, [other for other in paths if other != path]):
            yield path


def _within(path: Path, folders: Iterable[Path]) -> bool:
    return any(path.is_relative_to(folder) for folder in folders)


def _volume(name: str, claim: str, writable: bool) -> dict[str, Any]:
    """Make a volume; one that is not written to is read-only as a whole, so that no missing folder is made there."""
    source: dict[str, Any] = {"claimName": claim}
    return {
        "name": name,
        "persistentVolumeClaim": source if writable else {**source, "readOnly": True},
    }
