# SPDX-License-Identifier: BSD-3-Clause
"""Tell Prometheus what is, at the moment when it asks: queue, places, and what the workers reported last."""

from __future__ import annotations

import time
from collections import Counter as Tally
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from dl4mic.v1.job_pb2 import Heartbeat
from dl4mic_orchestrator.gpu_time import Projects
from dl4mic_orchestrator.records import Gpu, JobState
from dl4mic_orchestrator.store import Store, StoreAwayError

_OPEN = tuple(state for state in JobState if not state.ended)


class StoreGauges(Collector):
    """What the store holds.

    Parameters
    ----------
    networks
        Those that are counted also where they have no job: an absent figure is no zero to Prometheus.
    """

    def __init__(self, store: Store, networks: Sequence[str], projects: Projects) -> None:
        self._store = store
        self._networks = networks
        self._projects = projects

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Read the store. While it is away its figures are absent, and all others are told."""
        with suppress(StoreAwayError):
            yield from self._read()

    def _read(self) -> Iterator[GaugeMetricFamily]:
        yield self._depth()
        since = self._store.census.oldest_waiting()
        longest = max(time.time() - since, 0.0) if since is not None else 0.0
        words = "Longest wait of a job that waits for no other job."
        yield GaugeMetricFamily("dl4mic_oldest_pending_seconds", words, value=longest)
        words = "GPUs given to instances."
        used = GaugeMetricFamily("dl4mic_gpus_in_use", words, labels=["project", "network"])
        for labels, count in self._gpus_in_use().items():
            used.add_metric(labels, count)
        yield used

    def _depth(self) -> GaugeMetricFamily:
        words = "Jobs that have not ended."
        depth = GaugeMetricFamily("dl4mic_open_jobs", words, labels=["network", "state"])
        counts = {(network, state): 0 for network in self._networks for state in _OPEN}
        counts.update(self._store.census.open_counts())
        for (network, state), count in counts.items():
            depth.add_metric([network, state.name], count)
        return depth

    def _gpus_in_use(self) -> Tally[tuple[str, str]]:
        """Count the GPUs of those that have a place; the others only wait for one in a cluster."""
        tally: Tally[tuple[str, str]] = Tally()
        for instance in self._store.instances.all():
            if instance.place and instance.grant.gpus:
                labels = (self._projects.label(instance.project), instance.network)
                tally[labels] += len(instance.grant.gpus)
        return tally


@dataclass(eq=False)
class WorkerGauges(Collector):
    """The newest signs of life of the jobs that run. Figures of a GPU are absent where no worker has one."""

    signs: dict[str, tuple[str, Heartbeat]] = field(default_factory=dict)
    """Job -> its network and its newest sign of life."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Add up over the workers of each network; of the load, take the mean."""
        signs = list(self.signs.values())
        memory = [(network, float(sign.memory_bytes)) for network, sign in signs]
        yield _by_network("dl4mic_worker_memory_bytes", "Main memory of all workers.", memory, sum)
        held = [
            (network, float(sign.gpu_memory_bytes))
            for network, sign in signs
            if sign.HasField("gpu_memory_bytes")
        ]
        yield _by_network("dl4mic_worker_gpu_memory_bytes", "GPU memory of all workers.", held, sum)
        load = [
            (network, sign.gpu_utilisation)
            for network, sign in signs
            if sign.HasField("gpu_utilisation")
        ]
        name, words = "dl4mic_worker_gpu_utilisation_ratio", "Load of the workers' GPUs, 0 to 1."
        yield _by_network(name, words, load, _mean)


@dataclass(frozen=True)
class PlaceGauges(Collector):
    """What there is to compute on, and room in the workspace.

    Attributes
    ----------
    gpus
        Gives the GPUs that there are.
    free_bytes
        Gives the room on the workspace's disk.
    """

    gpus: Callable[[], Sequence[Gpu]]
    free_bytes: Callable[[], int]

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Ask both."""
        there = GaugeMetricFamily("dl4mic_gpus", "GPUs that there are.", labels=["product"])
        for product, count in Tally(gpu.name for gpu in self.gpus()).items():
            there.add_metric([product], count)
        yield there
        words = "Room on the disk of the workspace."
        yield GaugeMetricFamily("dl4mic_workspace_free_bytes", words, value=self.free_bytes())


def _by_network(
    name: str,
    words: str,
    figures: Sequence[tuple[str, float]],
    together: Callable[[list[float]], float],
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, words, labels=["network"])
    for network in sorted({network for network, _ in figures}):
        family.add_metric([network], together([value for of, value in figures if of == network]))
    return family


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
