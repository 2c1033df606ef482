# SPDX-License-Identifier: BSD-3-Clause
"""Which models can be used is told by their records, before a framework is loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict

import pytest

from dl4mic_sdk.errors import ModelError
from dl4mic_sdk.model_check import check_models

PREDICT = {"verb": "predict", "network": "blur"}


def model(folder: Path, *weights: str, **record: Any) -> Dict[str, str]:
    folder.mkdir()
    (folder / "model.json").write_text(json.dumps(dict({"network": "blur"}, **record)))
    for name in weights:
        (folder / name).write_bytes(b"")
    return {"name": folder.name, "folder": str(folder), "weights": "best"}


def test_models_that_can_be_used(tmp_path: Path) -> None:
    kept = model(tmp_path / "kept", "weights_best.weights.h5", weights=["best", "last"])
    epoch = model(tmp_path / "epoch", "weights_epoch_00007.json", weights=["7"])
    check_models({**PREDICT, "models": [kept, dict(epoch, weights="7")], "parent": kept})


def test_a_model_that_lists_no_weights_is_left_to_its_network(tmp_path: Path) -> None:
    check_models({**PREDICT, "models": [model(tmp_path / "foreign")]})


@pytest.mark.parametrize(
    ("files", "record", "said", "hint"),
    [
        ((), {"network": "care"}, "was trained by care, not by blur", "a model of blur"),
        ((), {"complete": False}, "has not been finished", "Retry that training"),
        ((), {"weights": ["last", "5"]}, "no weights 'best'", "It keeps last, 5."),
        ((), {"weights": []}, "no weights 'best'", "It keeps none."),
        (("weights_bestial.h5",), {"weights": ["best"]}, "'best' are missing", "copy it anew"),
    ],
)
@pytest.mark.parametrize("role", ["models", "parent"])
def test_models_that_cannot_be_used(
    tmp_path: Path, role: str, files: Any, record: Dict[str, Any], said: str, hint: str
) -> None:
    made = model(tmp_path / "m", *files, **record)
    request = {**PREDICT, role: [made] if role == "models" else made}
    with pytest.raises(ModelError, match=said) as caught:
        check_models(request)
    assert hint in caught.value.hint


@pytest.mark.parametrize(("count", "said"), [(0, "names none"), (2, "names 2")])
def test_one_model_is_scored_at_a_time(tmp_path: Path, count: int, said: str) -> None:
    models = [model(tmp_path / str(number)) for number in range(count)]
    with pytest.raises(ModelError, match=said) as caught:
        check_models({"verb": "qc", "network": "blur", "models": models})
    assert "for each model" in caught.value.hint
