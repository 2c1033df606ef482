# SPDX-License-Identifier: BSD-3-Clause
"""Writes anew what of the chart is made: the services in its values, and the dashboards. ``make chart`` runs it.

python helm/generate.py [CHART]
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import dashboards
from dl4mic.manifest import GIB, Service, read_service

CHART = Path(__file__).resolve().parent / "dl4mic"
SERVICES = CHART.parents[1] / "services"
WARM_INSTANCES = 2
"""Of each service: each holds a GPU where its network uses one, and gives it to the job that needs it when idle."""

BEGIN = (
    "# The services, from their manifests by `make chart`. Change a value in a file of your own."
)


def section(services: Path = SERVICES) -> str:
    """Write the section ``services`` of the values, a subsection for each service."""
    found = [read_service(each.parent) for each in sorted(services.glob("*/service.yaml"))]
    return (
        "\n".join([BEGIN, "services:", *(line for each in found for line in _lines(each))]) + "\n"
    )


def _lines(service: Service) -> Iterator[str]:
    """Yield a service's lines; a GPU image is named where the service has a lock for one."""
    repository = f"dl4mic-{service.name}"
    yield f"  {service.name}: # {', '.join(service.networks)}"
    yield "    enabled: true"
    yield f'    image: {{repository: {repository}, tag: "{service.version}", digest: ""}}'
    if (service.folder / "requirements-gpu.txt").exists():
        yield f'    gpuImage: {{repository: {repository}, tag: "{service.version}-gpu", digest: ""}}'
    yield f"    warmInstances: {WARM_INSTANCES} # models kept loaded at once, at most"
    yield f"    resources: {{}} # its networks ask for {_asked(service)}"


def _asked(service: Service) -> str:
    """Say what the most demanding of its networks asks for."""
    asked = [network.resources for network in service.networks.values()]
    cpus = max(each.cpus for each in asked)
    memory, gpu_memory = (
        max(getattr(each, name) for each in asked) / GIB
        for name in ("memory_bytes", "gpu_memory_bytes")
    )
    words = f"{cpus:g} CPUs, {memory:g} GiB"
    return f"{words}, a GPU of {gpu_memory:g} GiB" if gpu_memory else words


def main(chart: Path = CHART) -> int:
    """Put the section in place of the one that is there, and write the dashboards."""
    values = chart / "values.yaml"
    head = values.read_text(encoding="utf-8").partition(BEGIN)[0]
    values.write_text(head + section(), encoding="utf-8")
    dashboards.write(chart / "dashboards")
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:])))
