# SPDX-License-Identifier: BSD-3-Clause
"""Know which image each service runs in, for the backends that run images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from dl4mic_orchestrator.backends.base import UnavailableError

SERVICE_FOLDER = "/app/service"
"""Where an image has its service's folder."""

_VARIANTS = ("cpu", "gpu")


@dataclass(frozen=True, slots=True)
class ServiceImages:
    """References of a service's images, ``REPOSITORY:TAG`` or better ``REPOSITORY@sha256:...``.

    Attributes
    ----------
    cpu
        For places without a GPU.
    gpu
        With CUDA; empty where the service has none, which then runs on CPUs alone.
    """

    cpu: str
    gpu: str = ""

    def of(self, *, gpu: bool) -> str:
        """Choose the image for a place with or without a GPU."""
        return self.gpu if gpu and self.gpu else self.cpu


def read_images(path: Path) -> dict[str, ServiceImages]:
    """Read a file of images: YAML, service name -> ``{cpu: REFERENCE, gpu: REFERENCE}``, of which gpu may be left out.

    Raises
    ------
    ValueError
        The file cannot be read or is none of that form; the message names the place and says what would be right.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"{path}: cannot be read: {error}") from error
    if not isinstance(content, dict) or not content:
        raise ValueError(f"{path}: expected a line for each service, NAME: {{cpu: IMAGE}}")
    return {str(name): _read(f"{path}: {name}", entry) for name, entry in content.items()}


def image_of(images: Mapping[str, ServiceImages], service: str, *, gpu: bool) -> str:
    """Name the image that a service runs in.

    Raises
    ------
    UnavailableError
        None is named for the service.
    """
    try:
        return images[service].of(gpu=gpu)
    except KeyError:
        raise UnavailableError(
            "IMAGE_UNAVAILABLE",
            f"no image is named for the service {service}",
            "The administrator names it in the file of images (--images).",
        ) from None


def _read(where: str, entry: Any) -> ServiceImages:
    if not isinstance(entry, dict):
        raise ValueError(f"{where}: expected {{cpu: IMAGE, gpu: IMAGE}}, not {entry!r}")
    unknown = sorted(str(key) for key in entry if key not in _VARIANTS)
    if unknown:
        raise ValueError(f"{where}.{unknown[0]}: unknown; expected cpu or gpu")
    for variant in _VARIANTS:
        _check(f"{where}.{variant}", entry.get(variant), needed=variant == "cpu")
    return ServiceImages(entry["cpu"], entry.get("gpu") or "")


def _check(where: str, value: Any, *, needed: bool) -> None:
    if value is None and not needed:
        return
    if not isinstance(value, str) or not value or value != value.strip() or " " in value:
        raise ValueError(f"{where}: expected an image such as dl4mic-NAME:0.1.0, not {value!r}")
    if value.startswith("-"):
        raise ValueError(f"{where}: an image cannot begin with a dash: {value!r}")
