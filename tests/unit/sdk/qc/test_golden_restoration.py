# SPDX-License-Identifier: BSD-3-Clause
"""Numbers recorded once, to be met under every Python; record_golden_restoration.py says from where."""

from __future__ import annotations

import base64
import json
import zlib
from pathlib import Path
from typing import Any, Dict, List, Mapping

import numpy as np
import pytest

from dl4mic_sdk.images import Image
from dl4mic_sdk.qc.restoration import compare_images
from dl4mic_sdk.qc.restoration_definitions import numbers

IMAGES: List[Dict[str, Any]] = json.loads(
    (Path(__file__).parent / "golden_restoration.json").read_text(encoding="utf-8")
)["images"]
TOLERANCE = 1e-6


def unpacked(packed: Mapping[str, Any]) -> Image:
    data = zlib.decompress(base64.b64decode(packed["data"]))
    pixels = np.frombuffer(data, packed["dtype"]).reshape(packed["shape"])
    return Image(pixels, "ZYX"[-pixels.ndim :])


@pytest.mark.parametrize("case", IMAGES, ids=[each["name"] for each in IMAGES])
def test_every_number_as_it_was_recorded(case: Mapping[str, Any]) -> None:
    target, prediction = (unpacked(case[key]) for key in ("target", "prediction"))
    found = numbers(compare_images(target, {"prediction": prediction})[0], ["prediction"])
    short = {key[len("restoration.") : -len("/1")]: value for key, value in found.items()}
    assert short == pytest.approx(case["numbers"], rel=TOLERANCE, abs=TOLERANCE)
