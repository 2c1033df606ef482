# SPDX-License-Identifier: BSD-3-Clause
"""The code blocks of a page, to be run as a reader would type them."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: str, language: str) -> list[str]:
    """Content of the page's blocks in a language, in their order."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return [content for found, content in _BLOCK.findall(text) if found == language]


def script(page: str, language: str = "bash") -> str:
    """All blocks of a page in a language as one script that ends at the first failure."""
    return "set -euo pipefail\n" + "\n".join(blocks(page, language))
