# SPDX-License-Identifier: BSD-3-Clause
"""Jobs of this service, run as the worker runs them."""

from __future__ import annotations

from pathlib import Path

from service_jobs import Job, ServiceJobs, declared_for, left_by, reference

__all__ = [
    "EXAMPLE",
    "RECORDS",
    "SERVICE",
    "Job",
    "declared_for",
    "image_of",
    "left_by",
    "make",
    "make_export",
    "make_import",
    "make_training",
    "quick",
    "reference",
    "scored",
]

SERVICE = ServiceJobs(Path(__file__).resolve().parents[1])
EXAMPLE, RECORDS = SERVICE.example, SERVICE.records
image_of, quick = SERVICE.image_of, SERVICE.quick
make, make_training, scored = SERVICE.make, SERVICE.make_training, SERVICE.scored
make_import, make_export = SERVICE.make_import, SERVICE.make_export
