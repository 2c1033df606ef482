# SPDX-License-Identifier: BSD-3-Clause
"""Quality control through the client: of several models, of all weights, and of finished predictions."""

from __future__ import annotations

import pytest
from scripted import ScriptedServer

from dl4mic.v1 import network_pb2
from dl4mic_client import Client
from dl4mic_client.errors import Refused
from dl4mic_client.quality_calls import network_of_task
