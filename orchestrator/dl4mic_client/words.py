# SPDX-License-Identifier: BSD-3-Clause
"""Sizes, durations and rates in words."""

from __future__ import annotations

import re

_THOUSAND = 1000
_SECONDS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_HISSING = ("ches", "shes", "sses", "xes")
_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s?)?")


def size(count: float) -> str:
    """Write a number of bytes: "512 B", "3.4 MB"."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < _THOUSAND:
            return f"{count:.3g} {unit}"
        count /= _THOUSAND
    return f"{count:.3g} TB"


def counted(count: float, plural: str) -> str:
    """Write a number of things: "1 image", "2 images"."""
    return f"{count:.12g} {singular(plural) if count == 1 else plural}"


def singular(plural: str) -> str:
    """Turn "images" into "image", "patches" into "patch"; other plurals than of these forms stay."""
    return plural.removesuffix("es") if plural.endswith(_HISSING) else plural.removesuffix("s")


def rate(per_second: float, unit: str) -> str:
    """Write a rate of things, which are named in the plural: "2.1 epochs/s", "3.5 s/epoch"."""
    if per_second >= 1:
        return f"{per_second:.3g} {unit}/s"
    return f"{1 / per_second:.3g} s/{singular(unit)}"


def clip(text: str, longest: int) -> str:
    """Shorten a text to its first line and so many letters."""
    line = text.partition("\n")[0]
    return line if len(line) <= longest else line[: longest - 1] + "…"


def duration(seconds: float) -> str:
    """Write a duration: "0:42", "12:05", "1:02:03"."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def parse_duration(text: str) -> float:
    """Read a duration: "90m", "2h30m", "1d", or plain seconds.

    Returns
    -------
    float
        Seconds.

    Raises
    ------
    ValueError
        It is none.
    """
    match = _DURATION.fullmatch(text.strip().lower())
    if not text.strip() or match is None:
        raise ValueError(text)
    parts = zip(match.groups(), _SECONDS.values(), strict=True)
    return float(sum(int(count or 0) * seconds for count, seconds in parts))
