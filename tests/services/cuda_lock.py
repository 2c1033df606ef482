# SPDX-License-Identifier: BSD-3-Clause
"""Compare a lock with CUDA with the framework's own table: what its extra ``and-cuda`` asks for, as its wheel says."""

from __future__ import annotations

import re
from importlib.metadata import Distribution, distributions
from pathlib import Path

from packaging.requirements import Requirement

_EXTRA = "and-cuda"


def assert_brings_what_the_framework_asks_for(lock: Path) -> None:
    """Fail where a lock has another framework than is installed here, or NVIDIA's libraries in other versions."""
    locked = dict(re.findall(r"^([\w-]+)==([\w.]+)", lock.read_text(), re.MULTILINE))
    (framework,) = [each for each in distributions() if _asked(each)]
    name = framework.metadata["Name"].replace("_", "-").removesuffix("-cpu")
    assert locked[name] == framework.version
    asked = _asked(framework)
    assert {"nvidia-cuda-runtime-cu12", "nvidia-cudnn-cu12"} <= {each.name for each in asked}
    other = {str(each) for each in asked if locked.get(each.name, "0") not in each.specifier}
    assert other == set(), f"{lock} has other versions than {name} {framework.version} asks for"


def _asked(framework: Distribution) -> list[Requirement]:
    every = [Requirement(text) for text in framework.requires or ()]
    return [
        each
        for each in every
        if each.marker is not None
        and each.marker.evaluate({"extra": _EXTRA})
        and not each.marker.evaluate({"extra": ""})
    ]
