# SPDX-License-Identifier: BSD-3-Clause
"""Runs the command line: `python -m dl4mic_client`."""

from __future__ import annotations

from dl4mic_client.cli import main

if __name__ == "__main__":
    main(prog_name="dl4mic")
