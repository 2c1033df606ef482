# SPDX-License-Identifier: BSD-3-Clause
"""Build the images of the orchestrator and of the services: ``make images``.

The last lines say what was built, and why not what was not.
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bases import Base, read_bases
from dl4mic.manifest import Service, read_service

ROOT = Path(__file__).resolve().parents[2]
GPU_LOCK = "requirements-gpu.txt"
ENGINES = {
    "podman": ("podman", "build"),
    "docker": ("docker", "build"),
    "buildah": ("buildah", "bud"),
}
_GPU_SUFFIX = "-gpu"


@dataclass(frozen=True)
class Image:
    """One image to build.

    Attributes
    ----------
    python
        Version, which chooses the base.
    lock
        Of its packages, as the Dockerfile names it; empty where there is no choice.
    labels
        OCI annotations (opencontainers.org, image-spec, annotations.md), and the networks.
    """

    name: str
    tag: str
    dockerfile: Path
    python: str
    lock: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def reference(self) -> str:
        """Name it as those do who run it."""
        return f"{self.name}:{self.tag}"

    @property
    def gpu(self) -> bool:
        """Say whether it brings CUDA."""
        return self.lock == GPU_LOCK


def all_images() -> Iterator[Image]:
    """List the images of this tree, those with CUDA last."""
    yield _orchestrator()
    yield _of_service(read_service(ROOT / "tests" / "fakes" / "blur"), "dl4mic-fakes")
    services = [read_service(path.parent) for path in sorted(ROOT.glob("services/*/service.yaml"))]
    yield from (_of_service(service, f"dl4mic-{service.name}") for service in services)
    for service in services:
        if (service.folder / GPU_LOCK).exists():
            yield _of_service(service, f"dl4mic-{service.name}", GPU_LOCK)


def choose(names: Collection[str]) -> list[Image]:
    """Give the images of these names, all where none is named.

    Raises
    ------
    ValueError
        There is no image of a name.
    """
    images = list(all_images())
    there = dict.fromkeys(each.name for each in images)
    for name in names:
        if name not in there:
            raise ValueError(f"there is no image {name}; there are {', '.join(there)}")
    return [each for each in images if not names or each.name in names]


def build_command(
    image: Image, base: Base, builder: Sequence[str], options: Sequence[str]
) -> list[str]:
    """Give the command that builds an image."""
    command = [*builder, "-t", image.reference, "-f", str(image.dockerfile)]
    command += ["--build-arg", f"BASE={base.reference}"]
    if image.lock:
        command += ["--build-arg", f"LOCK={image.lock}"]
    labels = {**image.labels, "org.opencontainers.image.base.name": base.image}
    if base.resolved:
        labels["org.opencontainers.image.base.digest"] = base.digest
    for name, value in labels.items():
        command += ["--label", f"{name}={value}"]
    return [*command, *options, str(ROOT)]


def find_builder(named: str) -> Sequence[str]:
    """Choose the command that builds: what the caller named, else the first engine that is there.

    Raises
    ------
    ValueError
        There is none.
    """
    if named:
        return shlex.split(named)
    for program, command in ENGINES.items():
        if shutil.which(program):
            return command
    raise ValueError(f"none of {', '.join(ENGINES)} is installed; install one, or name a --builder")


def main(arguments: Sequence[str] | None = None) -> int:
    """Build what was asked for; return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        images = choose(options.names)
        if options.list:
            print("\n".join(each.reference for each in images))
            return 0
        builder = find_builder(options.builder)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    bases, extra = read_bases(), _secrets(options.pip_conf)
    verdicts = {
        each.reference: "not built: it brings CUDA, some 8 GB; say --gpu"
        if each.gpu and not options.gpu
        else _build(each, bases, builder, extra)
        for each in images
    }
    print("\n".join(f"{name:34} {words}" for name, words in verdicts.items()))
    return 1 if any(words.startswith("failed") for words in verdicts.values()) else 0


def _build(
    image: Image, bases: Mapping[str, Base], builder: Sequence[str], extra: Sequence[str]
) -> str:
    """Build one image, and say what came of it."""
    base = bases.get(image.python)
    if base is None:
        return f"failed: bases.yaml has no base for Python {image.python}"
    if not base.resolved:
        print(
            f"warning: {base.image} is taken by its tag: its digest is not locked", file=sys.stderr
        )
    print(f"=== {image.reference}", flush=True)
    try:
        done = subprocess.run(build_command(image, base, builder, extra), cwd=ROOT, check=False)
    except OSError as error:
        return f"failed: {error}"
    return f"failed: the builder's exit status is {done.returncode}" if done.returncode else "built"


def _orchestrator() -> Image:
    project = tomllib.loads((ROOT / "orchestrator" / "pyproject.toml").read_text())["project"]
    labels = _labels("dl4mic", project["version"], project["license"], project["description"])
    return Image(
        "dl4mic-orchestrator",
        project["version"],
        ROOT / "orchestrator" / "Dockerfile",
        "3.11",
        labels=labels,
    )


def _of_service(service: Service, name: str, lock: str = "requirements.txt") -> Image:
    networks = service.networks.values()
    titles = ", ".join(network.title for network in networks)
    labels = _labels(titles, service.version, service.licence, networks_summary(service))
    labels["org.dl4mic.networks"] = ",".join(service.networks)
    labels["org.dl4mic.citations"] = " | ".join(
        dict.fromkeys(cite.doi or cite.text for network in networks for cite in network.citations)
    )
    here = service.folder / "Dockerfile"
    dockerfile = here if here.exists() else service.folder.parent / "Dockerfile"
    tag = service.version + (_GPU_SUFFIX if lock == GPU_LOCK else "")
    return Image(name, tag, dockerfile, service.python_versions[0], lock, labels)


def networks_summary(service: Service) -> str:
    """Say in a line what a service's networks do."""
    return " ".join(
        network.summary.split(". ")[0].rstrip(".") + "." for network in service.networks.values()
    )


def _labels(title: str, version: str, licence: str, description: str) -> dict[str, str]:
    prefix = "org.opencontainers.image."
    return {
        prefix + "title": title,
        prefix + "version": version,
        prefix + "licenses": licence,
        prefix + "description": description,
        prefix + "revision": _revision(),
    }


def _revision() -> str:
    """Name the commit that the tree is at; empty where there is no git."""
    try:
        command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude", "*"]
        return subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, check=False
        ).stdout.strip()
    except OSError:
        return ""


def _secrets(pip_conf: Path | None) -> list[str]:
    """Show the build a pip.conf, of which nothing stays in the image."""
    return ["--secret", f"id=pip.conf,src={pip_conf.resolve()}"] if pip_conf else []


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Build images.")
    parser.add_argument("names", nargs="*", metavar="IMAGE", help="dl4mic-NAME; without any, all")
    parser.add_argument("--gpu", action="store_true", help="those with CUDA, too")
    parser.add_argument("--builder", default="", metavar="COMMAND", help="for 'podman build'")
    parser.add_argument("--pip-conf", type=Path, metavar="FILE", help="of a mirror, for the build")
    parser.add_argument("--list", action="store_true", help="name the images, and build none")
    return parser


if __name__ == "__main__":
    sys.exit(main())
