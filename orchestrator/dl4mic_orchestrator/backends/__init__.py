# SPDX-License-Identifier: BSD-3-Clause
"""Where instances run. A backend knows instances, not jobs."""
