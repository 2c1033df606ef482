# SPDX-License-Identifier: BSD-3-Clause
"""Texts of the command line become values of the declared types."""

from __future__ import annotations

import pytest
from scripted_server import NETWORK

import dl4mic_client
from dl4mic.parameters import show
from dl4mic_client.parameters import from_text


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("epochs=100", "integer", "100"),
        ("rate=1", "number", "1"),
        ("rate = 1e-3", "number", "0.001"),
        ("augment=no", "boolean", "false"),
        ("augment=True", "boolean", "true"),
        ("loss=mae", "text", "mae"),
        ("loss=a=b", "text", "a=b"),
        ("grid=2,4", "list", "[2, 4]"),
        ("grid=[2, 4]", "list", "[2, 4]"),
    ],
)
def test_values_have_the_declared_type(text: str, kind: str, value: str) -> None:
    (typed,) = from_text([text], NETWORK, "train").values()
    assert (typed.WhichOneof("kind"), show(typed)) == (kind, value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("epochs=1.5", "an integer from 1 to 100"),
        ("epochs=many", "an integer from 1 to 100"),
        ("rate=nan", "a number of at least 0"),
        ("augment=maybe", "true or false"),
        ("grid=2,x", "a list of 2, each an integer"),
        ("epoch=3", "did you mean epochs?"),
        ("smallest=3", "is no parameter of mock"),
        ("nothing-like-it=3", "dl4mic networks mock"),
        ("epochs", "key=value"),
        ("=3", "key=value"),
    ],
)
def test_what_is_wrong_is_said(text: str, said: str) -> None:
    with pytest.raises(dl4mic_client.Refused) as caught:
        from_text([text], NETWORK, "train")
    assert said in str(caught.value)


def test_a_parameter_belongs_to_its_verbs() -> None:
    assert list(from_text(["smallest=3"], NETWORK, "predict")) == ["smallest"]
