# SPDX-License-Identifier: BSD-3-Clause
"""The client's calls about files on the server: sent, fetched, listed, deleted, and networks' example data."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from dl4mic.v1 import data_pb2, network_pb2
from dl4mic_client import transfer
from dl4mic_client.connection import Connection
from dl4mic_client.errors import Refused


class DataCalls:
    """The part of a `Client` that is about files."""

    _connection: Connection
    report: transfer.Report | None

    def push(self, place: str | os.PathLike[str], name: str = "") -> str:
        """Send a folder or file to the server; returns its location, "uploads:NAME".

        Without a name it is named after its content, and sending it again sends only what is not
        there yet.
        """
        path = transfer.existing(place, "source")
        return transfer.push(self._connection, path, name, self.report)

    def pull(self, location: str, folder: str | os.PathLike[str]) -> list[Path]:
        """Fetch the files below a location into a folder; returns the files written."""
        return transfer.pull(self._connection, location, Path(folder), self.report)

    def list_data(self, location: str, *, with_sha256: bool = False) -> list[data_pb2.DataEntry]:
        """Return the files below a location."""
        return list(transfer.entries(self._connection, location, with_sha256=with_sha256))

    def delete_data(self, location: str) -> data_pb2.DeleteDataResponse:
        """Delete an uploaded file or folder ("uploads:NAME")."""
        request = data_pb2.DeleteDataRequest(location=location)
        return self._connection.call(self._connection.data.DeleteData, request)

    def example(self, network: str, folder: str | os.PathLike[str]) -> list[Path]:
        """Write a network's example data into a new folder; returns the files written.

        Beside them lie their licences and where they come from.

        Raises
        ------
        Refused
            The network has no example, or the folder holds something already.
        """
        request = network_pb2.DescribeRequest(network=network)
        described = self._connection.call(self._connection.networks.Describe, request)
        destination = _new(Path(folder).expanduser())
        root = f"example:{described.service}"
        images = f"{root}/{described.name}"
        found = list(transfer.entries(self._connection, root))
        of_network = [(each, images) for each in found if each.location.startswith(f"{images}/")]
        if not of_network:
            raise Refused(f"{described.name} has no example data.", "Try it on images of your own.")
        notices = [
            (each, root) for each in found if "/" not in each.location.removeprefix(f"{root}/")
        ]
        files = [*of_network, *notices]
        return transfer.fetch(self._connection, files, destination, self.report)

    def _dataset(
        self,
        field: str,
        source: str | os.PathLike[str] | None,
        target: str | os.PathLike[str] | None,
        axes: str,
        class_names: Sequence[str],
    ) -> data_pb2.Dataset:
        def locate(role: str, place: str | os.PathLike[str] | None) -> str:
            if place is None:
                return ""
            return transfer.locate(self._connection, place, f"{field}.{role}", self.report)

        return data_pb2.Dataset(
            source=locate("source", source),
            target=locate("target", target),
            axes=axes,
            class_names=class_names,
        )


def _new(folder: Path) -> Path:
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise Refused(f"{folder} holds something already.", "Name a folder that is not there yet.")
    return folder
