# SPDX-License-Identifier: BSD-3-Clause
"""Validates a BioImage.IO package and runs its test: ``validate.py PACKAGE.zip`` prints the summary as JSON."""

import sys

import bioimageio.core

summary = bioimageio.core.test_description(sys.argv[1])
sys.stdout.write(summary.model_dump_json())
