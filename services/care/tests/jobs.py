# SPDX-License-Identifier: BSD-3-Clause
"""Jobs of this service, run as the worker runs them."""

from __future__ import annotations

from pathlib import Path

from service_jobs import Job, ServiceJobs, declared_for, left_by, reference

__all__ = [
    "EXAMPLE",
    "RECORDS",
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

_HERE = ServiceJobs(Path(__file__).resolve().parents[1])
EXAMPLE, RECORDS = _HERE.example, _HERE.records
image_of, quick = _HERE.image_of, _HERE.quick
make, make_training, scored = _HERE.make, _HERE.make_training, _HERE.scored
make_import, make_export = _HERE.make_import, _HERE.make_export
