# SPDX-License-Identifier: BSD-3-Clause
"""The contract of dl4mic."""
