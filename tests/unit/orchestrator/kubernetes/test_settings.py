# SPDX-License-Identifier: BSD-3-Clause
"""The file of settings: what it may say, and how it is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dl4mic_orchestrator.backends.kubernetes.settings import Volume, read_settings

WHOLE = """
namespace: imaging
workspace: {claim: workspace, sub_path: ""}
data_roots: {lab1: {claim: plates, sub_path: /lab1/}}
gpu_resource: nvidia.com/mig-1g.10gb
gpu_labels: {memory: gpu.memory}
runtime_class: ""
priority_classes: {"0": routine, "-10": spare, warm: interactive}
tolerations: [{key: gpu, operator: Exists}]
node_selector: {zone: a}
resources: {segmenter: {requests: {cpu: 2}}}
queue: ""
image_pull_secrets: [registry]
look_ahead: 7
ttl_seconds: 60
labels: {app.kubernetes.io/instance: here}
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "kubernetes.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_whole_file(tmp_path: Path) -> None:
    settings = read_settings(written(tmp_path, WHOLE))
    assert settings.workspace == Volume("workspace")
    assert settings.data_roots == {"lab1": Volume("plates", "lab1")}
    assert settings.gpu_labels.memory == "gpu.memory"
    assert settings.gpu_labels.product == "nvidia.com/gpu.product"
    assert (settings.look_ahead, settings.ttl_seconds, settings.user) == (7, 60, 10001)


@pytest.mark.parametrize(
    ("priority", "warm", "name"),
    [(-20, False, ""), (-10, False, "spare"), (5, False, "routine"), (0, True, "interactive")],
)
def test_priority_classes(tmp_path: Path, priority: int, warm: bool, name: str) -> None:
    settings = read_settings(written(tmp_path, WHOLE))
    assert settings.priority_class(priority, warm=warm) == name


REFUSED = [
    ("workspace: {claim: w}", "namespace: it must be set"),
    ("namespace: a", "workspace: it must be set"),
    ("just words", "the file: expected names with values"),
    ("lookahead: 3", "lookahead: there is no such setting; there are data_roots, "),
    ("workspace: w", "workspace: expected names with values"),
    ("workspace: {sub_path: a}", "workspace: expected {claim: NAME, sub_path: PATH}"),
    ("workspace: {claim: w, sub_path: ../b}", "workspace.sub_path: '..' may not be part of it"),
    ("data_roots: {lab1: plates}", "data_roots.lab1: expected names with values"),
    ("gpu_labels: {computeMajor: a}", "gpu_labels.computeMajor: there is no such label; there are"),
    ("priority_classes: {high: a}", "priority_classes.high: expected the least priority of jobs"),
    ("tolerations: {key: a}", "tolerations: expected a list"),
    ("tolerations: [a]", "tolerations[0]: expected names with values"),
    ("image_pull_secrets: [3]", "image_pull_secrets[0]: expected text, found 3"),
    ("node_selector: {gpu: true}", "node_selector.gpu: expected text, found True"),
    ("resources: {a: {request: {}}}", "resources.a.request: expected requests or limits"),
    ("look_ahead: 0", "look_ahead: expected a whole number from 1, found 0"),
    ("ttl_seconds: soon", "ttl_seconds: expected a whole number from 1, found 'soon'"),
    ("user: true", "user: expected a whole number from 1, found True"),
]


@pytest.mark.parametrize(("line", "words"), REFUSED)
def test_what_is_wrong_is_named(tmp_path: Path, line: str, words: str) -> None:
    base: dict[str, Any] = {"namespace": "namespace: a", "workspace": "workspace: {claim: w}"}
    base.pop(line.partition(":")[0], None)
    alone = line in ("just words", "workspace: {claim: w}", "namespace: a")
    text = line if alone else "\n".join([*base.values(), line])
    with pytest.raises(ValueError) as refusal:
        read_settings(written(tmp_path, text))
    assert f"--kubernetes {tmp_path / 'kubernetes.yaml'}: {words}" in str(refusal.value)


def test_a_file_that_is_missing_or_no_yaml_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "none.yaml", written(tmp_path, "a: [")):
        with pytest.raises(ValueError, match=f"--kubernetes {path}: "):
            read_settings(path)
