# SPDX-License-Identifier: BSD-3-Clause
"""The orchestrator: keeps every job's record, and runs the networks on the machines that there are."""
