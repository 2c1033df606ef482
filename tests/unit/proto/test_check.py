# SPDX-License-Identifier: BSD-3-Clause
"""The request check: what is refused, by which field, in which words."""

from __future__ import annotations

from pathlib import Path

import pytest

from dl4mic.check import (
    Refused,
    check_name,
    check_predict,
    check_qc,
    check_train,
)
from dl4mic.manifest import ManifestError, read_service
from dl4mic.parameters import allowed_range, complete_parameters
from dl4mic.v1.data_pb2 import Dataset, ModelReference
from dl4mic.v1.network_pb2 import Network
from dl4mic.v1.parameter_pb2 import Parameter, ParameterList, ParameterValue
from dl4mic.v1.request_pb2 import JobOptions, PredictRequest, QcRequest, TrainRequest

FAKE = Path(__file__).resolve().parents[2] / "fakes" / "blur"
NETWORK = read_service(FAKE).network("blur")
DATA = Dataset(source="lab:a", target="lab:b")


def fields(check, request, network=NETWORK):
    try:
        check(request, network)
    except Refused as refused:
        return {each.field: each.description for each in refused.violations}
    return {}


def train(**changes):
    values = {"network": "blur", "data": DATA, "model": "nuclei"}
    return TrainRequest(**{**values, **changes})


def test_a_right_request_passes():
    assert fields(check_train, train()) == {}
    assert fields(check_qc, QcRequest(models=[ModelReference(name="nuclei:3")], data=DATA)) == {}
    predict = PredictRequest(model=ModelReference(name="job:a"), data=Dataset(source="lab:a"))
    assert fields(check_predict, predict) == {}


@pytest.mark.parametrize("name", ["a", "nuclei-2", "a" * 50])
def test_names(name):
    check_name(name, "model")


@pytest.mark.parametrize("name", ["", "A", "a/b", "-a", "a-", "a" * 51, "ü", "a\n"])
def test_what_is_no_name(name):
    with pytest.raises(Refused):
        check_name(name, "model")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (ParameterValue(text="10"), "an integer from 1 to 10000"),
        (ParameterValue(number=10.0), "an integer from 1 to 10000"),
        (ParameterValue(boolean=True), "an integer from 1 to 10000"),
        (ParameterValue(integer=10001), "10001 is not allowed"),
        (ParameterValue(), "nothing is not allowed"),
    ],
)
def test_a_value_of_the_wrong_type_or_size(value, words):
    found = fields(check_train, train(parameters={"epochs": value}))
    assert words in found["parameters.epochs"]


def test_a_number_may_be_written_as_an_integer_but_not_as_nan():
    assert fields(check_train, train(parameters={"learning_rate": ParameterValue(integer=1)})) == {}
    found = fields(
        check_train, train(parameters={"learning_rate": ParameterValue(number=float("nan"))})
    )
    assert "parameters.learning_rate" in found


def test_lists_are_checked_by_length_and_element():
    def patch(*sizes):
        values = [ParameterValue(integer=size) for size in sizes]
        return train(parameters={"patch_size": ParameterValue(list=ParameterList(values=values))})

    assert fields(check_train, patch(32, 48)) == {}
    assert "2, each an integer" in fields(check_train, patch(32))["parameters.patch_size"]
    assert "4 is not allowed" in fields(check_train, patch(32, 4))["parameters.patch_size"]


def test_qc_takes_models_or_predictions_but_not_both():
    assert "models" in fields(check_qc, QcRequest(data=DATA))
    both = QcRequest(data=DATA, models=[ModelReference(name="a")], prediction="lab:c")
    assert "models" in fields(check_qc, both)


def test_finished_predictions_need_their_targets_and_no_parameters():
    target = Dataset(target="lab:masks")
    assert fields(check_qc, QcRequest(prediction="lab:c", data=target)) == {}
    assert set(fields(check_qc, QcRequest(prediction="lab:c"))) == {"data.target"}
    odd = QcRequest(prediction="lab:c", data=Dataset(target="lab:masks", axes="QQ"))
    odd.parameters["tile"].integer = 1
    assert {"data.axes", "parameters"} <= set(fields(check_qc, odd))


@pytest.mark.parametrize(
    ("supervision", "needed"),
    [(Dataset.NOISY_IMAGES, False), (Dataset.PAIRED_IMAGES, False), (Dataset.BINARY_MASKS, True)],
)
def test_restoration_is_scored_without_targets_if_need_be(supervision, needed):
    network = Network()
    network.CopyFrom(NETWORK)
    network.supervision = supervision
    images = Dataset(source="lab:a")
    of_model = QcRequest(models=[ModelReference(name="a")], data=images)
    assert ("data.target" in fields(check_qc, of_model, network)) == needed
    finished = QcRequest(prediction="lab:c", data=images)
    assert "data.target" in fields(check_qc, finished, network)
    learning = supervision != Dataset.NOISY_IMAGES
    assert ("data.target" in fields(check_train, train(data=images), network)) == learning


@pytest.mark.parametrize(
    "location", ["a/b", "lab:../x", "lab:a/../../x", "LAB:a", "lab:a\\..\\b", "..", "lab:\0"]
)
def test_a_location_that_is_none_or_leaves_its_root(location):
    found = fields(check_train, train(data=Dataset(source=location, target="lab:b")))
    assert list(found) == ["data.source"]


def test_labels_priority_and_deadline():
    options = JobOptions(labels={"Bad key": "x"}, priority=1001)
    options.deadline.seconds = -1
    assert set(fields(check_train, train(options=options))) == {
        "options.labels",
        "options.priority",
        "options.deadline",
    }


def test_all_faults_are_told_at_once():
    request = TrainRequest(network="blur", parameters={"epoch": ParameterValue(integer=1)})
    found = fields(check_train, request)
    assert set(found) == {"model", "data.source", "data.target", "parameters.epoch"}


def test_parameters_are_completed_from_default_and_preset_and_caller():
    given = {"sigma": ParameterValue(number=2.5)}
    complete = complete_parameters(NETWORK, Parameter.TRAIN, "quick", given)
    assert complete["epochs"].integer == 1
    assert complete["sigma"].number == 2.5
    assert complete["learning_rate"].number == 0.5
    assert complete["split"] is None
    assert "smallest_object" not in complete


def test_the_words_for_a_range():
    by_name = {each.name: each for each in NETWORK.parameters}
    assert allowed_range(by_name["seed"]) == "an integer from 0 to 4294967295"
    assert allowed_range(by_name["split"]) == "a text, one of image, group, region"
    assert allowed_range(by_name["best_by"]) == "a text, one of val_loss, loss"


def test_a_manifest_with_faults_names_them_all(tmp_path):
    folder = tmp_path / "blur"
    folder.mkdir()
    text = (FAKE / "service.yaml").read_text(encoding="utf-8")
    text = text.replace("default: 5, minimum: 1", "default: 0, minimum: 1").replace(
        "epochs: 1}}", "epochs: 0}}"
    )
    (folder / "service.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ManifestError) as caught:
        read_service(folder)
    problems = " ".join(caught.value.problems)
    assert "default of epochs" in problems
    assert "preset quick" in problems


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("networks: [", "is no YAML"),
        ("a: 1", "the key 'networks'"),
        ("service: x\nnetworks: {blur: {titel: 1}}", "unknown key 'titel'"),
    ],
)
def test_a_manifest_that_is_none(tmp_path, text, words):
    (tmp_path / "service.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ManifestError, match=words):
        read_service(tmp_path)
