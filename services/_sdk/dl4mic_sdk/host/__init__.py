# SPDX-License-Identifier: BSD-3-Clause
"""The small process that speaks gRPC for a service and owns its jobs; it never imports a network."""
