# SPDX-License-Identifier: BSD-3-Clause
"""Quality control: the same numbers for every network under every Python that the SDK supports."""
