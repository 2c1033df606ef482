# SPDX-License-Identifier: BSD-3-Clause
"""Show what there is: networks, instances, machines, and why a job waits."""

from __future__ import annotations

import platform
from collections.abc import Callable

import grpc

from dl4mic.pages import MOST, page
from dl4mic.v1.catalog_pb2 import (
    ExplainJobRequest,
    ExplainJobResponse,
    GetNetworkRequest,
    Instance,
    ListInstancesRequest,
    ListInstancesResponse,
    ListNetworksRequest,
    ListNetworksResponse,
    ListNodesRequest,
    ListNodesResponse,
    Node,
)
from dl4mic.v1.catalog_pb2_grpc import CatalogServiceServicer
from dl4mic.v1.network_pb2 import Network
from dl4mic_orchestrator import records
from dl4mic_orchestrator.catalog import Catalog
from dl4mic_orchestrator.plan import waits_for
from dl4mic_orchestrator.store import Store

Explain = Callable[[str], tuple[str, int]]


class CatalogApi(CatalogServiceServicer):
    """The contract's CatalogService.

    Parameters
    ----------
    explain
        Job id -> (why it waits, number of jobs that go first).
    """

    def __init__(
        self,
        catalog: Catalog,
        store: Store,
        capacity: Callable[[], records.Capacity],
        explain: Explain,
    ) -> None:
        self._catalog = catalog
        self._store = store
        self._capacity = capacity
        self._explain = explain

    def ListNetworks(
        self, request: ListNetworksRequest, context: grpc.ServicerContext
    ) -> ListNetworksResponse:
        """Answer with the networks, by name."""
        networks = list(self._catalog)
        found, token = page(
            networks, lambda network: network.name, request.page_size or MOST, request.page_token
        )
        return ListNetworksResponse(networks=found, next_page_token=token)

    def GetNetwork(self, request: GetNetworkRequest, context: grpc.ServicerContext) -> Network:
        """Answer with one network."""
        return self._catalog.network(request.network)

    def ListInstances(
        self, request: ListInstancesRequest, context: grpc.ServicerContext
    ) -> ListInstancesResponse:
        """Answer with the running services."""
        instances = [_instance(instance) for instance in self._store.instances.all()]
        found, token = page(
            instances, lambda instance: instance.id, request.page_size or MOST, request.page_token
        )
        return ListInstancesResponse(instances=found, next_page_token=token)

    def ListNodes(
        self, request: ListNodesRequest, context: grpc.ServicerContext
    ) -> ListNodesResponse:
        """Answer with what jobs run on."""
        capacity = self._capacity()
        instances = self._store.instances.all()
        if capacity.look_ahead is not None:  # what waits in a cluster takes nothing yet
            instances = [instance for instance in instances if instance.place]
        grants = [instance.grant for instance in instances]
        node = Node(
            name=platform.node() if capacity.look_ahead is None else capacity.where,
            gpus=len(capacity.gpus),
            free_gpus=len(capacity.gpus) - sum(len(grant.gpus) for grant in grants),
            cpus=capacity.cpus,
            free_cpus=capacity.cpus - sum(grant.cpus for grant in grants),
            memory_bytes=capacity.memory_bytes,
            free_memory_bytes=capacity.memory_bytes - sum(grant.memory_bytes for grant in grants),
        )
        return ListNodesResponse(nodes=[node])

    def ExplainJob(
        self, request: ExplainJobRequest, context: grpc.ServicerContext
    ) -> ExplainJobResponse:
        """Say why a job waits."""
        job = self._store.jobs.get(request.job_id)
        waiting = self._store.jobs.message(job.id).waiting_reason
        if job.state.ended or job.state is records.JobState.RUNNING:
            return ExplainJobResponse()
        reason, jobs_ahead = self._explain(job.id)
        states = self._store.jobs.states(job.depends_on)
        unfinished = [other for other, state in states.items() if not state.ended]
        # Before the first pass over a job that is new, or tried again, there is no reason on record.
        first = waits_for(unfinished) if unfinished else "its place in the queue is not known yet"
        return ExplainJobResponse(
            reason=waiting or reason or first, jobs_ahead=jobs_ahead, waits_for=unfinished
        )


def _instance(instance: records.Instance) -> Instance:
    return Instance(
        id=instance.id,
        service=instance.service,
        state=Instance.State.Name(int(instance.state)),
        job_id=instance.job_id,
        attempt=instance.attempt,
        place=instance.place,
        devices=instance.grant.words(),
    )
