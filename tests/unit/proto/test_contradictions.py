# SPDX-License-Identifier: BSD-3-Clause
"""Values that make no sense beside others: refused, both parameters named."""

from __future__ import annotations

from pathlib import Path

import pytest

from dl4mic.check import Refused
from dl4mic.contradictions import check_contradictions
from dl4mic.manifest import ManifestError, read_service
from dl4mic.v1.data_pb2 import Dataset
from dl4mic.v1.parameter_pb2 import ParameterList, ParameterValue
from dl4mic.v1.request_pb2 import PredictRequest, TrainRequest

MANIFEST = """\
service: filter
version: 0.1.0
licence: BSD-3-Clause
python: ["3.11"]
networks:
  filter:
    title: Filter
    task: restoration
    supervision: paired_images
    axes: [YX]
    parameters:
      keep_every: {}
      keep_limit: {}
      split: {}
      split_strip: {}
      validation_fraction: {}
      patch_size: &size {type: list, element_type: integer, help: Size., verbs: [train]}
      largest_patch: {<<: *size, default: [64, 64], excludes: [patch_size]}
      backbone: {type: text, default: unet, choices: [unet, resnet], help: Inside., verbs: [train]}
      blocks: {type: integer, default: 4, help: Of the ResNet., verbs: [train], needs: {backbone: resnet}}
      between: {type: list, element_type: number, default: [0.5, 2.0], help: Factors., verbs: [train], ascending: true}
      grid: {<<: *size, default: [2, 2]}
      pool: {<<: *size, default: [2, 2], needs: {backbone: unet}}
      depth: {type: integer, default: 3, help: Levels., verbs: [train]}
      hide: {type: boolean, default: false, help: Hide the edge., verbs: [train]}
      margin: {type: integer, default: 4, help: Hidden., verbs: [train], needs: {hide: }}
      tile: {<<: *size, multiple_of_product: {grid: 1, pool: depth}, less_twice: margin}
    presets:
      default: {help: Usual.}
      small: {help: Small patches., parameters: {patch_size: [32, 32]}}
"""


def value(plain):
    if isinstance(plain, list):
        return ParameterValue(list=ParameterList(values=[value(each) for each in plain]))
    kinds = {bool: "boolean", int: "integer", float: "number", str: "text"}
    return ParameterValue(**{kinds[type(plain)]: plain})


@pytest.fixture
def service(tmp_path: Path):
    folder = tmp_path / "filter"
    folder.mkdir()
    (folder / "service.yaml").write_text(MANIFEST, encoding="utf-8")
    return read_service(folder)


def found(service, validation=False, parent=False, preset="", **parameters):
    request = TrainRequest(
        preset=preset, parameters={name: value(each) for name, each in parameters.items()}
    )
    if validation:
        request.validation.CopyFrom(Dataset(source="lab:a", target="lab:b"))
    if parent:
        request.parent.name = "nuclei:1"
    try:
        declared = service.records["filter"]["parameters"]
        check_contradictions(request, service.network("filter"), declared)
    except Refused as refused:
        return {each.field: each.description for each in refused.violations}
    return {}


@pytest.mark.parametrize(
    ("given", "field", "words"),
    [
        ({"keep_limit": 5}, "keep_limit", "no effect while keep_every is 0: switch keep_every on"),
        (
            {"split": "image", "split_strip": 8},
            "split_strip",
            "use split=region, or leave split_st",
        ),
        ({"blocks": 3}, "blocks", "3 has no effect while backbone is unet: use backbone=resnet"),
        (
            {"patch_size": [48, 48], "largest_patch": [32, 32]},
            "largest_patch",
            "[32, 32] has no effect beside patch_size, which is [48, 48]",
        ),
        ({"preset": "small", "largest_patch": [32, 32]}, "largest_patch", "beside patch_size"),
        ({"between": [2.0, 0.5]}, "between", "[2, 0.5] is not in ascending order: use [0.5, 2]"),
        (
            {"tile": [40, 64]},
            "tile",
            "[40, 64] does not go with a multiple of grid [2, 2] x pool [2, 2] ** depth 3: use [32, 64]",
        ),
        ({"tile": [16, 9], "depth": 5}, "tile", "** depth 5: use [64, 64]"),
        ({"tile": [48, 48], "hide": True}, "tile", "less twice margin, use [40, 40]"),
        ({"tile": [33, 32], "backbone": "resnet"}, "tile", "of grid [2, 2]: use [32, 32]"),
        ({"validation": True, "split": "image"}, "split", "beside validation, whose images"),
        ({"validation": True, "validation_fraction": 0.2}, "validation_fraction", "0.2 has no eff"),
    ],
)
def test_both_are_named_and_what_would_be_right(service, given, field, words):
    problems = found(service, **given)
    assert list(problems) == ["parameters." + field]
    assert words in problems["parameters." + field]


@pytest.mark.parametrize(
    "given",
    [
        {"keep_limit": 5, "keep_every": 10},
        {"keep_limit": 20},
        {"split_strip": 8},
        {"split": "region", "split_strip": 8},
        {"blocks": 3, "backbone": "resnet"},
        {"largest_patch": [32, 32]},
        {"largest_patch": [64, 64], "patch_size": [48, 48]},
        {"preset": "small"},
        {"validation": True, "validation_fraction": 0.1},
        {"between": [1, 1]},
        {"tile": [48, 64]},
        {"tile": [40, 56], "hide": True},
        {"tile": [34, 2], "backbone": "resnet"},
        {"tile": [33, 32], "parent": True},
    ],
)
def test_what_goes_together_or_changes_nothing_passes(service, given):
    assert found(service, **given) == {}


def test_another_verb_reads_no_such_parameter(service):
    declared = service.records["filter"]["parameters"]
    check_contradictions(PredictRequest(), service.network("filter"), declared)


def test_a_rule_that_names_no_parameter_is_a_fault_of_the_manifest(service):
    path = service.folder / "service.yaml"
    path.write_text(MANIFEST.replace("{backbone: resnet}", "{spine: resnet}"), encoding="utf-8")
    with pytest.raises(ManifestError, match="blocks: it needs spine, which is no parameter"):
        read_service(service.folder)
