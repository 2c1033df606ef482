# SPDX-License-Identifier: BSD-3-Clause
"""Instances on Kubernetes: a Job for each attempt, a Deployment for each warm one; the cluster chooses the place."""
