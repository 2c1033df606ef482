# SPDX-License-Identifier: BSD-3-Clause
"""Instances on Kubernetes: a Job for each attempt, a Deployment for each warm one; the cluster chooses the place."""

from dl4mic_orchestrator.backends.kubernetes.backend import KubernetesBackend
from dl4mic_orchestrator.backends.kubernetes.client import ClusterClient
from dl4mic_orchestrator.backends.kubernetes.settings import KubernetesSettings, read_settings

__all__ = ["ClusterClient", "KubernetesBackend", "KubernetesSettings", "read_settings"]
