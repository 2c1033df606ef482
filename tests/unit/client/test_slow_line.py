# SPDX-License-Identifier: BSD-3-Clause
"""A server that is far away."""

from __future__ import annotations

import grpc
from slow_line import slow_line

from dl4mic.server import listen
from dl4mic.v1.catalog_pb2 import ListNetworksRequest, ListNetworksResponse
from dl4mic.v1.catalog_pb2_grpc import (
    CatalogServiceServicer,
    add_CatalogServiceServicer_to_server,
)
from dl4mic_client.address import parse
from dl4mic_client.connection import Connection


class Catalog(CatalogServiceServicer):
    def ListNetworks(
        self, request: ListNetworksRequest, context: grpc.ServicerContext
    ) -> ListNetworksResponse:
        return ListNetworksResponse(next_page_token="it")


def test_a_server_that_is_far_away_is_reached() -> None:
    listening = listen("localhost:0", {add_CatalogServiceServicer_to_server: Catalog()})
    port = int(listening.address.rpartition(":")[2])
    try:
        with slow_line(port, seconds=3.0) as line:
            connection = Connection(parse(f"127.0.0.1:{line}"))
            answer = connection.call(connection.catalog.ListNetworks, ListNetworksRequest())
            connection.close()
    finally:
        listening.server.stop(None)
    assert answer.next_page_token == "it"
