# SPDX-License-Identifier: BSD-3-Clause
"""The README of a service says what its manifest says, and every parameter is read by code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from parameter_table import tables

from dl4mic.manifest import read_service

ROOT = Path(__file__).resolve().parents[2]
SERVICES = sorted(path.parent for path in ROOT.glob("services/*/service.yaml"))
SDK = ROOT / "services" / "_sdk"

pytestmark = pytest.mark.parametrize("folder", SERVICES, ids=lambda folder: folder.name)


def test_the_readme_has_the_tables_of_the_manifest(folder: Path) -> None:
    """`tests/services/parameter_table.py` prints them."""
    readme = (folder / "README.md").read_text(encoding="utf-8")
    assert [table for table in tables(folder) if table not in readme] == []


def test_the_readme_names_every_preset(folder: Path) -> None:
    readme = (folder / "README.md").read_text(encoding="utf-8")
    presets = {
        each for record in read_service(folder).records.values() for each in record["presets"]
    }
    assert [each for each in presets if f"`{each}`" not in readme] == []


def test_every_parameter_is_read_somewhere(folder: Path) -> None:
    """By its name in quotes; or by its beginning, where all that begin so are handed to a library."""
    own = "".join(path.read_text(encoding="utf-8") for path in folder.glob("*.py"))
    beginnings = tuple(re.findall(r'"([a-z]+(?:_[a-z]+)*_)"', own)) or ("\0",)
    read_by_the_sdk = _names_read_by_the_sdk()
    for record in read_service(folder).records.values():
        names = {each for each in record["parameters"] if not each.startswith(beginnings)}
        assert [each for each in names - read_by_the_sdk if f'"{each}"' not in own] == []


def _names_read_by_the_sdk() -> set[str]:
    code = "".join(path.read_text(encoding="utf-8") for path in SDK.glob("dl4mic_*/*.py"))
    looked_up = r'(?:parameters|given)(?:\.get\(|\[)"([a-z_]+)"'
    return {*re.findall(looked_up, code), *re.findall(r'^PARAMETER = "([a-z_]+)"', code, re.M)}
