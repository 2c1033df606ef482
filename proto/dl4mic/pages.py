# SPDX-License-Identifier: BSD-3-Clause
"""Cuts a sorted list into the pages of a List call. Pure."""

from __future__ import annotations

from typing import Callable, List, Sequence, Tuple, TypeVar

from dl4mic.check import Refused, Violation

Entry = TypeVar("Entry")

MOST = 1000


def page(
    entries: Sequence[Entry], key: Callable[[Entry], str], size: int, token: str
) -> Tuple[List[Entry], str]:
    """Return the page that a token asks for, and the token of the next one.

    Parameters
    ----------
    entries
        In a stable order.
    key
        Of an entry, unique. A token is the key of the last entry of the page before.
    size
        Entries wanted, 1 to 1000.

    Raises
    ------
    dl4mic.check.Refused
        A size that is not allowed, or a token whose entry is gone.
    """
    if not 0 < size <= MOST:
        raise Refused([Violation("page_size", "{} is not from 1 to {}".format(size, MOST))])
    start = 0
    if token:
        keys = [key(entry) for entry in entries]
        if token not in keys:
            raise Refused(
                [Violation("page_token", "is not known any more; start at the first page")]
            )
        start = keys.index(token) + 1
    found = list(entries[start : start + size])
    more = start + size < len(entries)
    return found, key(found[-1]) if more else ""
