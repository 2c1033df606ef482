# SPDX-License-Identifier: BSD-3-Clause
"""What a number of a QC result means, under an identifier that never changes its meaning."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Definition:
    """A number that quality control reports.

    Attributes
    ----------
    id
        ``<kind>.<name>[@<threshold>]/<edition>``; another formula is another edition.
    title
        Short, for tables.
    text
        The formula in words, with its source.
    whole
        The number counts something: shown without decimals.
    unit
        ``"dB"``; empty for plain numbers.
    measure, of
        What is measured, and of what, where a kind measures several things alike: they stand side by side in tables.
    """

    id: str
    title: str
    text: str
    whole: bool = False
    unit: str = ""
    measure: str = ""
    of: str = ""
