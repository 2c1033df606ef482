# SPDX-License-Identifier: BSD-3-Clause
"""Reads `service.yaml`, the identity of a service folder, into the contract's Network messages.

Nothing of the service is imported: a manifest can be read where its framework is not installed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Mapping, Sequence, Tuple

import yaml
from google.protobuf.json_format import ParseDict, ParseError

from dl4mic.check import NAME, NAME_FORM
from dl4mic.parameters import problem_of_value
from dl4mic.v1.network_pb2 import Network
from dl4mic.v1.parameter_pb2 import Parameter, ParameterValue

FILE_NAME = "service.yaml"
CONTRACT_VERSION = "1"
LARGEST_MANIFEST = 1 << 20
GIB = 1 << 30

NEEDS, EXCLUDES, ASCENDING = "needs", "excludes", "ascending"
MULTIPLE_OF, LESS_TWICE = "multiple_of_product", "less_twice"
"""Keys of a parameter that say how it goes with others.

``needs: {split: region}``: it has an effect only while another one has that value, or is not off where none is named;
``excludes: [patch_size]``: it has none while another one has a value; ``ascending: true``: its list must be;
``multiple_of_product: {grid: 1, pool: depth}``: each element, ``less_twice: margin``, must be a multiple of grid * pool
to the power of depth, taken element by element and of those that have an effect.
"""

_RULES = (NEEDS, EXCLUDES, ASCENDING, MULTIPLE_OF, LESS_TWICE)
_SERVICE_KEYS = {"service", "version", "licence", "python", "packages", "cuda", "cudnn", "networks"}
_NETWORK_KEYS = {
    "formats",
    "title",
    "summary",
    "task",
    "supervision",
    "axes",
    "resources",
    "outputs",
    "parameters",
    "presets",
    "citations",
}
_RESOURCE_KEYS = {
    "gpu",
    "gpu_memory_gib",
    "memory_gib",
    "cpus",
    "minimum_compute_capability",
    "maximum_compute_capability",
}


class ManifestError(ValueError):
    """A `service.yaml` that cannot be used.

    Attributes
    ----------
    problems
        Everything that is wrong with it, one sentence each.
    """

    def __init__(self, path: Path, problems: Sequence[str]) -> None:
        super().__init__("{}: {}".format(path, "; ".join(problems)))
        self.problems = list(problems)


@dataclass(frozen=True)
class Service:
    """A service folder, as its manifest describes it.

    Attributes
    ----------
    name, version, licence
        Of the service.
    folder
        Absolute path.
    networks
        Name -> message, in the manifest's order.
    records
        Name -> the same in plain values, for workers, which read no protobuf.
    python_versions
        That its lock supports, the preferred one first: ``("3.11", "3.12")``.
    packages
        Distributions whose versions matter.
    digest
        SHA-256 of the manifest's text.
    """

    name: str
    version: str
    licence: str
    folder: Path
    networks: Mapping[str, Network]
    records: Mapping[str, Mapping[str, Any]]
    python_versions: Tuple[str, ...]
    packages: Tuple[str, ...]
    digest: str

    @property
    def example(self) -> Path:
        """Folder of its example data, one folder a network; it need not be there."""
        return self.folder / "example"

    def network(self, name: str) -> Network:
        """Return a network by name; an empty name is enough where there is one.

        Raises
        ------
        KeyError
            There is none of that name, or no single one.
        """
        if not name and len(self.networks) == 1:
            return next(iter(self.networks.values()))
        return self.networks[name]


def read_service(folder: Path) -> Service:
    """Read the manifest of a service folder.

    Raises
    ------
    ManifestError
        With everything that is wrong with it.
    """
    folder = Path(folder).resolve()
    path = folder / FILE_NAME
    text = _read_text(path)
    content = _parse_yaml(path, text)
    problems = _problems_of_service(content, folder)
    if problems:
        raise ManifestError(path, problems)
    records = {name: _record(name, entry, content) for name, entry in content["networks"].items()}
    networks = _networks(path, records)
    return Service(
        name=content["service"],
        version=str(content["version"]),
        licence=content["licence"],
        folder=folder,
        networks=networks,
        records=records,
        python_versions=tuple(str(each) for each in content["python"]),
        packages=tuple(content.get("packages", ())),
        digest=hashlib.sha256(text.encode("utf-8")).hexdigest(),
    )


def _read_text(path: Path) -> str:
    try:
        if path.stat().st_size > LARGEST_MANIFEST:
            raise ManifestError(path, ["is larger than 1 MiB"])
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(path, ["cannot be read: {}".format(error)]) from error


def _parse_yaml(path: Path, text: str) -> Dict[str, Any]:
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ManifestError(path, ["is no YAML: {}".format(error)]) from error
    if not isinstance(content, dict) or not isinstance(content.get("networks"), dict):
        raise ManifestError(path, ["must be a mapping with the key 'networks'"])
    return content


def _problems_of_service(content: Mapping[str, Any], folder: Path) -> List[str]:
    problems = ["unknown key {!r}".format(key) for key in content if key not in _SERVICE_KEYS]
    for key in ("service", "version", "licence", "python"):
        if not content.get(key):
            problems.append("the key {!r} is missing".format(key))
    if content.get("service") not in (None, folder.name):
        problems.append(
            "service is {!r}, but the folder is called {!r}".format(content["service"], folder.name)
        )
    for name, entry in content["networks"].items():
        problems += _problems_of_network(str(name), entry)
    return problems


def _problems_of_network(name: str, entry: Any) -> List[str]:
    if not isinstance(entry, dict):
        return ["{}: must be a mapping".format(name)]
    problems = [
        "{}: unknown key {!r}".format(name, key) for key in entry if key not in _NETWORK_KEYS
    ]
    for key in ("title", "task", "supervision", "axes", "parameters", "presets"):
        if not entry.get(key):
            problems.append("{}: the key {!r} is missing".format(name, key))
    if not NAME.fullmatch(name):
        problems.append("{!r} is no name for a network: use {}".format(name, NAME_FORM))
    unknown = set(entry.get("resources", {})) - _RESOURCE_KEYS
    problems += ["{}: unknown resource {!r}".format(name, key) for key in sorted(unknown)]
    if "default" not in (entry.get("presets") or {}):
        problems.append("{}: there is no preset 'default'".format(name))
    return problems


def _record(name: str, entry: Mapping[str, Any], content: Mapping[str, Any]) -> Dict[str, Any]:
    """Fill in what an entry leaves out, in plain values."""
    record = dict(entry)
    record["name"] = name
    for key in ("service", "licence"):
        record[key] = content[key]
    record["version"] = str(content["version"])
    for key in ("packages", "python"):
        record[key] = [str(each) for each in content.get(key, ())]
    record["parameters"] = {
        each: dict(_shared_parameters().get(each, {}), **(declared or {}))
        for each, declared in entry["parameters"].items()
    }
    return record


_shared: Dict[str, Dict[str, Any]] = {}


def _shared_parameters() -> Dict[str, Dict[str, Any]]:
    if not _shared:
        path = Path(__file__).with_name("parameters.yaml")
        _shared.update(yaml.safe_load(path.read_text(encoding="utf-8")))
    return _shared


def _networks(path: Path, records: Mapping[str, Mapping[str, Any]]) -> Dict[str, Network]:
    networks: Dict[str, Network] = {}
    problems: List[str] = []
    for name, record in records.items():
        try:
            networks[name] = ParseDict(_network_values(record), Network())
        except (ParseError, TypeError, ValueError, AttributeError) as error:
            problems.append("{}: {}".format(name, error))
            continue
        found = _problems_of_parameters(networks[name]) + _problems_of_rules(record["parameters"])
        problems += ["{}: {}".format(name, each) for each in found]
    if problems:
        raise ManifestError(path, problems)
    return networks


def _network_values(record: Mapping[str, Any]) -> Dict[str, Any]:
    """Bring a record into the JSON form of the Network message."""
    types = {name: _type_of(declared) for name, declared in record["parameters"].items()}
    return {
        "name": record["name"],
        "title": record["title"],
        "summary": record.get("summary", ""),
        "service": record["service"],
        "version": record["version"],
        "contract_version": CONTRACT_VERSION,
        "task": record["task"],
        "supervision": str(record["supervision"]).upper(),
        "axes": list(record["axes"]),
        "parameters": [_parameter(name, each) for name, each in record["parameters"].items()],
        "presets": [_preset(name, each or {}, types) for name, each in record["presets"].items()],
        "resources": _resources(record.get("resources", {})),
        "outputs": [
            {"verb": verb.upper(), "path": output, "title": title}
            for verb, outputs in record.get("outputs", {}).items()
            for output, title in outputs.items()
        ],
        "model_formats": [_format(name, each) for name, each in record.get("formats", {}).items()],
        "licence": record["licence"],
        "citations": list(record.get("citations", ())),
        "python_versions": record["python"],
    }


def _format(name: str, entry: Mapping[str, Any]) -> Dict[str, Any]:
    """Leave out by which files the format is known, which concerns workers alone."""
    return dict({key: value for key, value in entry.items() if key != "holds"}, name=name)


def _type_of(declared: Mapping[str, Any]) -> Tuple[str, str]:
    return str(declared.get("type", "")), str(declared.get("element_type", ""))


def _parameter(name: str, declared: Mapping[str, Any]) -> Dict[str, Any]:
    values = {key: value for key, value in declared.items() if key not in _RULES}
    values["name"] = name
    kind = _type_of(declared)
    values["type"] = kind[0].upper()
    if kind[1]:
        values["element_type"] = kind[1].upper()
    values["verbs"] = [each.upper() for each in declared.get("verbs", ())]
    default = values.pop("default", None)
    if default is not None:
        values["default_value"] = _value(default, kind)
    element = (kind[1], "") if kind[0] == "list" else kind
    values["choices"] = [_value(each, element) for each in declared.get("choices") or ()]
    return values


def _preset(
    name: str, entry: Mapping[str, Any], types: Mapping[str, Tuple[str, str]]
) -> Dict[str, Any]:
    unknown = sorted(set(entry.get("parameters") or {}) - set(types))
    if unknown:
        raise ValueError("preset {}: no parameter {}".format(name, ", ".join(unknown)))
    values = {
        key: _value(value, types[key]) for key, value in (entry.get("parameters") or {}).items()
    }
    return {"name": name, "help": entry.get("help", ""), "parameters": values}


def _value(value: Any, kind: Tuple[str, str]) -> Dict[str, Any]:
    """Bring a plain value into the JSON form of ParameterValue, by its declared type."""
    if kind[0] == "list":
        return {"list": {"values": [_value(each, (kind[1], "")) for each in value]}}
    if kind[0] == "integer":
        return {"integer": str(value) if isinstance(value, int) else value}
    return {kind[0]: value}


def _resources(entry: Mapping[str, Any]) -> Dict[str, Any]:
    return {
        "gpu": str(entry.get("gpu", "none")).upper(),
        "gpu_memory_bytes": str(int(entry.get("gpu_memory_gib", 0) * GIB)),
        "memory_bytes": str(int(entry.get("memory_gib", 1) * GIB)),
        "cpus": entry.get("cpus", 1),
        "minimum_compute_capability": str(entry.get("minimum_compute_capability", "")),
        "maximum_compute_capability": str(entry.get("maximum_compute_capability", "")),
    }


def _problems_of_parameters(network: Network) -> List[str]:
    problems: List[str] = []
    declared = {each.name: each for each in network.parameters}
    for parameter in network.parameters:
        if not parameter.help or not parameter.verbs:
            problems.append("parameter {}: 'help' and 'verbs' are needed".format(parameter.name))
        if parameter.HasField("default_value"):
            problems += _problem("default of", parameter, parameter.default_value)
    for preset in network.presets:
        for name in sorted(preset.parameters):
            problems += _problem(
                "preset {}:".format(preset.name), declared[name], preset.parameters[name]
            )
    return problems


def _problems_of_rules(declared: Mapping[str, Mapping[str, Any]]) -> List[str]:
    """Say which parameters the rules name that are not there; a shared one need not be."""
    known = set(declared) | set(_shared_parameters())
    return [
        "parameter {}: it {} {}, which is no parameter".format(name, key, other)
        for name, parameter in declared.items()
        for key in (NEEDS, EXCLUDES, MULTIPLE_OF)
        for other in parameter.get(key) or ()
        if other not in known
    ]


def _problem(where: str, parameter: Parameter, value: ParameterValue) -> List[str]:
    problem = problem_of_value(parameter, value)
    return ["{} {}: {}".format(where, parameter.name, problem)] if problem else []
