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
        ((), {"network": "other"}, "was trained by other, not by blur", "a model of blur"),
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


def test_all_weights_are_those_that_are_kept(tmp_path: Path) -> None:
    files = ("weights_best.h5", "weights_epoch_00007.h5")
    listed = model(tmp_path / "listed", *files, weights=["7", "best"])
    unlisted = model(tmp_path / "unlisted", *files)
    request = {"verb": "qc", "network": "blur"}
    check_models(dict(request, models=[dict(each, weights="all") for each in (listed, unlisted)]))


@pytest.mark.parametrize(
    ("record", "said"),
    [({}, "no weights are kept"), ({"weights": ["best", "7"]}, "weights 'best' are missing")],
)
def test_all_weights_of_a_model_that_lacks_some(
    tmp_path: Path, record: Dict[str, Any], said: str
) -> None:
    models = [dict(model(tmp_path / "m", **record), weights="all")]
    with pytest.raises(ModelError, match=said):
        check_models({"verb": "qc", "network": "blur", "models": models})
