# SPDX-License-Identifier: BSD-3-Clause
"""Own the networks that there are, as their services' manifests describe them."""

from __future__ import annotations

import difflib
from collections.abc import Container, Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from dl4mic_orchestrator.records import GpuNeed, GpuUse, Needs

if TYPE_CHECKING:
    from pathlib import Path

    from dl4mic.manifest import Service
    from dl4mic.v1.network_pb2 import Network, Resources


class UnknownNetworkError(LookupError):
    """No service has a network of the name; the message names what there is."""


class Catalog:
    """The networks of a set of services.

    Parameters
    ----------
    services
        As read from their manifests.
    without_gpu
        Names of those whose images can use none: what they profit from elsewhere would here be held for nothing.

    Raises
    ------
    ValueError
        Two services declare a network of the same name.
    """

    def __init__(self, services: Iterable[Service], without_gpu: Container[str] = ()) -> None:
        self._without_gpu = without_gpu
        self._services: dict[str, Service] = {}
        for service in services:
            for name in service.networks:
                if name in self._services:
                    folders = f"{self._services[name].folder} and {service.folder}"
                    raise ValueError(f"the network {name!r} is declared twice, in {folders}")
                self._services[name] = service

    def __iter__(self) -> Iterator[Network]:
        """Iterate over the networks, by name."""
        return (self.network(name) for name in sorted(self._services))

    def network(self, name: str) -> Network:
        """Get a network; an empty name is enough where there is one.

        Raises
        ------
        UnknownNetworkError
            There is none of that name.
        """
        return self.service(name).network(name)

    def service(self, name: str) -> Service:
        """Get the service that holds a network."""
        if not name and len(self._services) == 1:
            return next(iter(self._services.values()))
        if name not in self._services:
            raise UnknownNetworkError(self._words(name))
        return self._services[name]

    def services(self) -> list[Service]:
        """List the services that hold the networks."""
        return list({service.name: service for service in self._services.values()}.values())

    def needs(self) -> dict[str, Needs]:
        """Tell what each network asks of a machine."""
        return {name: self._needs(service, name) for name, service in self._services.items()}

    def examples(self) -> dict[str, Path]:
        """Tell where each service's example data lie; a service need not have any."""
        return {service.name: service.example for service in self._services.values()}

    def _needs(self, service: Service, network: str) -> Needs:
        needs = needs_of(service.network(network).resources)
        idle = needs.gpu_use is GpuUse.USEFUL and service.name in self._without_gpu
        return replace(needs, gpu_use=GpuUse.NONE) if idle else needs

    def _words(self, name: str) -> str:
        there = ", ".join(sorted(self._services)) or "none"
        if not name:
            return f"name a network; there are {there}"
        near = difflib.get_close_matches(name, self._services, n=1)
        guess = f" (did you mean {near[0]!r}?)" if near else ""
        return f"there is no network {name!r}{guess}; there are {there}"


def needs_of(resources: Resources) -> Needs:
    """Read what a manifest asks for."""
    uses = {resources.USEFUL: GpuUse.USEFUL, resources.NEEDED: GpuUse.NEEDED}
    gpu = GpuNeed(
        memory_bytes=resources.gpu_memory_bytes,
        minimum_capability=_capability(resources.minimum_compute_capability),
        maximum_capability=_capability(resources.maximum_compute_capability),
    )
    return Needs(
        cpus=resources.cpus or 1.0,
        memory_bytes=resources.memory_bytes,
        gpu_use=uses.get(resources.gpu, GpuUse.NONE),
        gpu=gpu,
    )


def _capability(text: str) -> tuple[int, int] | None:
    if not text:
        return None
    major, _, minor = text.partition(".")
    return int(major), int(minor or 0)
