# SPDX-License-Identifier: BSD-3-Clause
"""Publications that a manifest names, as text for reports."""

from __future__ import annotations

from typing import List, Mapping, Sequence


def citation_texts(citations: Sequence[Mapping[str, str]]) -> List[str]:
    """Return each publication with its DOI, if the manifest gives one."""
    return [_text(each["text"], each.get("doi", "")) for each in citations]


def _text(text: str, doi: str) -> str:
    return "{} doi:{}".format(text, doi) if doi and doi not in text else text
