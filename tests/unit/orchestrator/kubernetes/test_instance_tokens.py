# SPDX-License-Identifier: BSD-3-Clause
"""What an instance asks of whoever calls it: a token of its own, from its launch to its end."""

from __future__ import annotations

import pytest

from dl4mic_orchestrator.backends.base import LaunchSpec

from .instances import training, warm
from .stage import Stage


@pytest.mark.parametrize("spec", [training(), warm()], ids=["attempt", "warm"])
def test_each_instance_has_a_token_of_its_own_until_it_has_ended(
    stage: Stage, spec: LaunchSpec
) -> None:
    state, pod = stage.launch(spec)
    token = stage.backend.probe([state])[0].token
    assert token is not None and len(token.read_text()) >= 43  # 32 random bytes
    other, _ = stage.launch(training("other"))
    assert stage.backend.probe([other])[0].token.read_text() != token.read_text()  # type: ignore[union-attr]
    (container,) = pod["spec"]["containers"]
    assert container["command"][container["command"].index("--token") + 1] == str(token)
    mounts = {each["mountPath"]: each for each in container["volumeMounts"]}
    assert mounts[str(token)]["readOnly"]
    assert not mounts.keys() & {str(token.parent), str(token.parent.parent)}
    stage.backend.stop(state, 0.0)
    assert [each.name for each in token.parent.iterdir()] == [other["name"]]


def test_an_instance_that_was_launched_unheard_keeps_the_token_that_it_has_read(
    stage: Stage,
) -> None:
    state, _ = stage.launch(training())
    token = stage.backend.probe([state])[0].token
    read = token.read_text()  # type: ignore[union-attr]
    assert stage.started().launch(training(), lambda _: None) == state
    assert token.read_text() == read  # type: ignore[union-attr]


def test_the_token_of_what_nobody_knows_goes_with_it(stage: Stage) -> None:
    known, _ = stage.launch(training("known"))
    stage.launch(training("lost"))
    stage.backend.sweep(lambda: {"known-1"})
    assert [each.name for each in (stage.folder / "tokens").iterdir()] == [known["name"]]
