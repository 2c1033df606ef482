# SPDX-License-Identifier: BSD-3-Clause
"""Move files, and keep those that open jobs read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import grpc

from dl4mic.data_service import DataServicer
from dl4mic.locations import Locations
from dl4mic.v1.data_pb2 import DeleteDataRequest, DeleteDataResponse
from dl4mic_orchestrator.api.errors import check_unused
from dl4mic_orchestrator.dependents import Obstacle


class DataApi(DataServicer):
    """The contract's DataService.

    Parameters
    ----------
    limit_bytes
        Of one uploaded file.
    reserve_bytes
        What stays free on the disk: the store needs it.
    obstacles
        Absolute path -> who needs what lies there.
    """

    def __init__(
        self,
        locations: Locations,
        limit_bytes: int,
        reserve_bytes: int,
        obstacles: Callable[[Path], list[Obstacle]],
    ) -> None:
        super().__init__(locations, limit_bytes, reserve_bytes)
        self._obstacles = obstacles

    def DeleteData(
        self, request: DeleteDataRequest, context: grpc.ServicerContext
    ) -> DeleteDataResponse:
        """Delete what no open job reads."""
        path = self._locations.upload(request.location, "location")
        check_unused(request.location, self._obstacles(path), "DATA_IN_USE")
        return super().DeleteData(request, context)
