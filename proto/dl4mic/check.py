# SPDX-License-Identifier: BSD-3-Clause
"""The contract's own check of a request against a network's manifest. Pure; called by every server and any client.

What it finds is raised as one `Refused` that names every field at fault, what was wrong and what would be right.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from dataclasses import dataclass
from typing import Any, Iterable, Iterator, Mapping, Optional, Sequence, Union

from google.protobuf.duration_pb2 import Duration

from dl4mic.parameters import problem_of_value
from dl4mic.v1.data_pb2 import Dataset, ModelReference
from dl4mic.v1.network_pb2 import Network
from dl4mic.v1.parameter_pb2 import Parameter
from dl4mic.v1.request_pb2 import (
    ExportModelRequest,
    ImportModelRequest,
    JobOptions,
    PredictRequest,
    QcRequest,
    TrainRequest,
)

Request = Union[TrainRequest, QcRequest, PredictRequest, ImportModelRequest, ExportModelRequest]

OWN_FORMAT = "dl4mic"
"""The format of a model that every network takes and gives: its folder as it is."""

NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,48}[a-z0-9])?")
NAME_FORM = "lower-case letters, digits and inner hyphens, at most 50 characters"
RESERVED = frozenset({"job", "uploads"})
WITHOUT_TARGET = frozenset({Dataset.IMAGES, Dataset.NOISY_IMAGES})
AXES = "TCZYX"
MOST_LABELS = 32
LARGEST_PRIORITY = 1000
LONGEST_TITLE = 200
LONGEST_DEADLINE_DAYS = 3650

_SCORED_WITHOUT_TARGET = WITHOUT_TARGET | {Dataset.PAIRED_IMAGES}
"""Of models whose results are images like their sources, quality control says what it can without targets."""

_LOCATION = re.compile(r"(/.*|[a-z0-9-]+:.*)", re.DOTALL)
_MODEL_NAME = re.compile(r"[a-z0-9-]+(:[a-z0-9-]+)?")
_WEIGHTS = re.compile(r"best|last|[0-9]{1,9}|")
ALL_WEIGHTS = "all"
"""Stands for every kept set of weights, in quality control."""


@dataclass(frozen=True)
class Violation:
    """One field at fault.

    Attributes
    ----------
    field
        Path of the field in the request: ``parameters.epochs``.
    description
        What was wrong and what would be right.
    """

    field: str
    description: str


class Refused(ValueError):
    """A request that must not become a job."""

    def __init__(self, violations: Sequence[Violation]) -> None:
        super().__init__(
            "; ".join("{0.field}: {0.description}".format(each) for each in violations)
        )
        self.violations = list(violations)


def check_train(request: TrainRequest, network: Network) -> None:
    """Raise `Refused` unless `network` can train as asked."""
    found = list(_check_options(request.options, network))
    found += _check_new_name("model", request.model)
    found += _check_dataset("data", request.data, network, with_target=True)
    if request.HasField("validation"):
        found += _check_dataset("validation", request.validation, network, with_target=True)
    if request.HasField("parent"):
        found += _check_model("parent", request.parent)
    found += _check_parameters(request, network, Parameter.TRAIN)
    _refuse(found)


def check_qc(request: QcRequest, network: Network) -> None:
    """Raise `Refused` unless `network` can score as asked."""
    found = list(_check_options(request.options, network))
    if request.data.source or not request.prediction:
        needed = bool(request.prediction) or network.supervision not in _SCORED_WITHOUT_TARGET
        found += _check_dataset(
            "data", request.data, network, with_target=True, needs_target=needed
        )
    elif request.data.target:
        found += _check_location("data.target", request.data.target)
        found += _check_axes("data.axes", request.data.axes)
    else:
        found.append(Violation("data.target", "is empty; name the folder of what is right"))
    if bool(request.models) == bool(request.prediction):
        found.append(
            Violation(
                "models", "name the models to score, or a folder of predictions, and not both"
            )
        )
    for number, model in enumerate(request.models):
        found += _check_model("models[{}]".format(number), model, several=True)
    if request.prediction:
        found += _check_location("prediction", request.prediction)
    if request.prediction and request.parameters:
        found.append(Violation("parameters", "are for models; finished predictions need none"))
    found += _check_parameters(request, network, Parameter.QC)
    _refuse(found)


def check_predict(request: PredictRequest, network: Network) -> None:
    """Raise `Refused` unless `network` can predict as asked."""
    found = list(_check_options(request.options, network))
    found += _check_model("model", request.model)
    found += _check_dataset("data", request.data, network, with_target=False)
    found += _check_parameters(request, network, Parameter.PREDICT)
    _refuse(found)


def check_import_model(request: ImportModelRequest, network: Network) -> None:
    """Raise `Refused` unless `network` can take in a model as asked."""
    found = list(_check_options(request.options, network))
    found += _check_location("source", request.source, "name the model's folder or archive")
    found += _check_new_name("model", request.model)
    readable = [each.name for each in network.model_formats if each.imported]
    if request.format:
        found += _check_format(request.format, readable, network)
    found += _check_parameters(request, network, Parameter.IMPORT_MODEL)
    _refuse(found)


def check_export_model(request: ExportModelRequest, network: Network) -> None:
    """Raise `Refused` unless `network` can give a model as asked."""
    found = list(_check_options(request.options, network))
    found += _check_model("model", request.model)
    written = [each.name for each in network.model_formats if each.exported]
    found += _check_format(request.format or OWN_FORMAT, written, network)
    found += _check_parameters(request, network, Parameter.EXPORT_MODEL)
    _refuse(found)


def check_request(request: Request, network: Network) -> None:
    """Raise `Refused` unless `network` can do what the request, of any verb, asks."""
    if isinstance(request, TrainRequest):
        check_train(request, network)
    elif isinstance(request, QcRequest):
        check_qc(request, network)
    elif isinstance(request, PredictRequest):
        check_predict(request, network)
    elif isinstance(request, ImportModelRequest):
        check_import_model(request, network)
    else:
        check_export_model(request, network)


_VERBS: Mapping[type, Parameter.Verb] = {
    TrainRequest: Parameter.TRAIN,
    QcRequest: Parameter.QC,
    PredictRequest: Parameter.PREDICT,
    ImportModelRequest: Parameter.IMPORT_MODEL,
    ExportModelRequest: Parameter.EXPORT_MODEL,
}


def verb_of(request: Request) -> Parameter.Verb:
    """Verb of a request."""
    return _VERBS[type(request)]


def verb_word(request: Request) -> str:
    """Verb of a request as a word, which is also the field of it in a Job: "train", "import_model"."""
    return Parameter.Verb.Name(verb_of(request)).lower()


def check_name(text: str, field: str) -> None:
    """Raise `Refused` unless `text` can be an id of a job or the name of a model, project, label or data root."""
    _refuse(_check_name(field, text))


def _refuse(violations: Iterable[Violation]) -> None:
    found = list(violations)
    if found:
        raise Refused(found)


def _check_options(options: JobOptions, network: Network) -> Iterator[Violation]:
    if options.job_id:
        yield from _check_name("options.job_id", options.job_id)
    if options.project:
        yield from _check_name("options.project", options.project)
    yield from _check_title("options.title", options.title)
    if abs(options.priority) > LARGEST_PRIORITY:
        yield Violation("options.priority", "{} is not from -1000 to 1000".format(options.priority))
    if len(options.labels) > MOST_LABELS:
        yield Violation(
            "options.labels", "{} labels; at most 32 are kept".format(len(options.labels))
        )
    for key, value in sorted(options.labels.items()):
        yield from _check_name("options.labels", key)
        yield from _check_name("options.labels[{}]".format(key), value)
    if options.HasField("deadline"):
        yield from _check_deadline(options.deadline)
    if options.device not in JobOptions.Device.values():
        yield Violation("options.device", _not_among(options.device, JobOptions.Device))
    if options.device == JobOptions.GPU and network.resources.gpu == network.resources.NONE:
        yield Violation(
            "options.device",
            "{} computes on the CPU only; leave the device out".format(network.name),
        )


def _check_title(field: str, title: str) -> Iterator[Violation]:
    if len(title) > LONGEST_TITLE:
        text = "has {} characters; at most {} are kept"
        yield Violation(field, text.format(len(title), LONGEST_TITLE))
    if has_control_characters(title):
        yield Violation(field, "{!r} holds control characters; leave them out".format(title[:60]))


def has_control_characters(text: str) -> bool:
    """Whether a text holds what steers a terminal or breaks a line, such as ESC or a line feed, or half a character."""
    return any(unicodedata.category(each) in ("Cc", "Cs", "Zl", "Zp") for each in text)


def _check_deadline(deadline: Duration) -> Iterator[Violation]:
    days = (deadline.seconds + deadline.nanos / 1e9) / 86400.0
    if not 0 < days <= LONGEST_DEADLINE_DAYS:
        text = "must lie in the future, by at most {} days".format(LONGEST_DEADLINE_DAYS)
        yield Violation("options.deadline", text)


def _not_among(number: int, enumeration: Any) -> str:
    """Say that a number is none of an enumeration's, and which words it has."""
    words = [name for name, value in enumeration.items() if value]
    return "{} is unknown here; use {}".format(number, ", ".join(words))


def _check_name(field: str, text: str) -> Iterator[Violation]:
    if not NAME.fullmatch(text):
        yield Violation(field, "{!r} is not a name: use {}".format(text[:60], NAME_FORM))


def _check_new_name(field: str, text: str) -> Iterator[Violation]:
    if text in RESERVED:
        yield Violation(field, "{!r} is reserved; choose another name".format(text))
    yield from _check_name(field, text)


def _check_dataset(
    field: str,
    data: Dataset,
    network: Network,
    with_target: bool,
    needs_target: Optional[bool] = None,
) -> Iterator[Violation]:
    """Check images and targets; those that a network learns from need targets where its supervision has them."""
    supervision = data.supervision or network.supervision
    learned = with_target and network.supervision not in WITHOUT_TARGET
    targeted = learned if needs_target is None else needs_target
    if data.supervision not in Dataset.Supervision.values():
        text = _not_among(data.supervision, Dataset.Supervision)
        yield Violation(field + ".supervision", text)
    elif with_target and supervision != network.supervision:
        message = "{} learns from {}, not from {}".format(
            network.name, words_of(network.supervision), words_of(supervision)
        )
        yield Violation(field + ".supervision", message)
    yield from _check_location(field + ".source", data.source)
    if data.target or targeted:
        yield from _check_location(field + ".target", data.target)
    if data.target and not with_target:
        yield Violation(field + ".target", "prediction takes images only; leave the target out")
    yield from _check_axes(field + ".axes", data.axes)


def words_of(supervision: Dataset.Supervision) -> str:
    """Words for a kind of supervision: "label images"."""
    return Dataset.Supervision.Name(supervision).lower().replace("_", " ")


def _check_location(
    field: str, location: str, wanted: str = "name the folder of images"
) -> Iterator[Violation]:
    if not location:
        yield Violation(field, "is empty; {}".format(wanted))
    elif not _LOCATION.fullmatch(location) or "\0" in location:
        yield Violation(
            field,
            "{!r} is not a location: use ROOT:PATH, uploads:PATH or job:ID/PATH".format(
                location[:60]
            ),
        )
    elif ".." in re.split(r"[/\\:]", location):
        yield Violation(field, "{!r} leaves its root: '..' is not allowed".format(location[:60]))


def _check_axes(field: str, axes: str) -> Iterator[Violation]:
    known = set(axes) <= set(AXES) and len(set(axes)) == len(axes)
    if axes and not (known and {"Y", "X"} <= set(axes)):
        yield Violation(
            field,
            "{!r} are not axes: use each of T, C, Z, Y, X once at most, with Y and X".format(axes),
        )


def _check_format(name: str, known: Sequence[str], network: Network) -> Iterator[Violation]:
    if name not in (OWN_FORMAT, *known):
        text = "{!r} is no format that {} knows here; it has {}"
        there = ", ".join([OWN_FORMAT, *known])
        yield Violation("format", text.format(name, network.name, there))


def _check_model(field: str, model: ModelReference, several: bool = False) -> Iterator[Violation]:
    if not model.name:
        yield Violation(
            field + ".name",
            "is empty; name a model, NAME or NAME:VERSION, or a training job, job:ID",
        )
    elif not _MODEL_NAME.fullmatch(model.name):
        yield from _check_location(field + ".name", model.name)
    if not (_WEIGHTS.fullmatch(model.weights) or (several and model.weights == ALL_WEIGHTS)):
        yield Violation(
            field + ".weights",
            "{!r}: use best, last or the number of an epoch".format(model.weights),
        )


def _check_parameters(
    request: Request, network: Network, verb: Parameter.Verb
) -> Iterator[Violation]:
    declared = {each.name: each for each in network.parameters if verb in each.verbs}
    for name in sorted(request.parameters):
        field = "parameters.{}".format(name)
        if name not in declared:
            yield Violation(field, _unknown_parameter(name, network, verb, declared))
            continue
        problem = problem_of_value(declared[name], request.parameters[name])
        if problem:
            yield Violation(field, problem)
    presets = [each.name for each in network.presets]
    if isinstance(request, TrainRequest) and request.preset and request.preset not in presets:
        yield Violation(
            "preset", "{!r} is unknown; there are {}".format(request.preset, ", ".join(presets))
        )


def _unknown_parameter(
    name: str, network: Network, verb: Parameter.Verb, declared: Mapping[str, Parameter]
) -> str:
    word = Parameter.Verb.Name(verb).lower()
    if any(each.name == name for each in network.parameters):
        return "{} does not read it when it is asked to {}".format(network.name, word)
    near = difflib.get_close_matches(name, list(declared), n=3)
    if near:
        return "is no parameter of {}; did you mean {}?".format(network.name, " or ".join(near))
    return "is no parameter of {}; it has {}".format(
        network.name, ", ".join(sorted(declared)) or "none"
    )
