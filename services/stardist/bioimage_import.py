# SPDX-License-Identifier: BSD-3-Clause
"""Reads BioImage.IO packages of the library, of format 0.3 to 0.5."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any, Dict, Iterator, Mapping, Optional

import yaml
from formats import said_of, thresholds_from, write_model
from untrusted import check_configuration

from dl4mic_keras.untrusted import LARGEST_TEXT, check_weights
from dl4mic_sdk.context import Context
from dl4mic_sdk.errors import ModelError
from dl4mic_sdk.normalisation import Normalisation
from dl4mic_sdk.training import weights_path

_RECORD_NAMES = ("rdf.yaml", "bioimageio.yaml")
_MOST_CITATIONS = 100


def import_package(
    source: Path, dimensions: int, parameters: Mapping[str, Any], model: Path, ctx: Context
) -> Dict[str, Any]:
    """Take in an unpacked package that carries weights of the library.

    Parameters
    ----------
    source
        The unpacked package.
    dimensions
        2 or 3.
    parameters
        Of the job; what the package says of the images' normalisation wins over them.
    model
        Empty folder to fill.
    ctx
        Is told where it does.

    Returns
    -------
    dict
        For `model.json`: also licence, authors, citations and title, as the package states them.

    Raises
    ------
    ModelError
        It is damaged, or none of the library's.
    """
    record = _read_record(source)
    own = _mapping(_mapping(record, "config"), "stardist")
    if not _mapping(own, "config"):
        raise ModelError(
            f"the package {record.get('name', '')!r} holds no model of StarDist",
            "Only packages that the stardist library or dl4mic made can be imported.",
        )
    config = check_configuration(_mapping(own, "config"), dimensions)
    weights = _attachment(source, str(own.get("weights", "")), record)
    check_weights(weights)
    shutil.copyfile(weights, weights_path(model, "best", ".h5"))
    write_model(config, thresholds_from(_mapping(own, "thresholds"), "thresholds"), model)
    used = {**parameters, **_percentiles_of(record)}
    if _overruled(parameters, used):
        text = "images are normalised as the package says, not as asked for"
        ctx.warning("PERCENTILES_OF_PACKAGE", text)
    return {**said_of(config, used), **_said(record)}


def _read_record(source: Path) -> Dict[str, Any]:
    path = next((source / each for each in _RECORD_NAMES if (source / each).exists()), None)
    try:
        if path is None or path.stat().st_size > LARGEST_TEXT:
            raise ValueError("it is missing, or larger than 1 MiB")
        record = yaml.safe_load(path.read_text(encoding="utf-8"))
        if not isinstance(record, dict):
            raise ValueError("it is no mapping")
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        name = path.name if path is not None else _RECORD_NAMES[0]
        raise ModelError(f"{name} cannot be read: {error}", "Copy the package anew.") from error
    return record


def _mapping(record: Mapping[str, Any], name: str) -> Dict[str, Any]:
    value = record.get(name)
    return value if isinstance(value, dict) else {}


def _attachment(source: Path, name: str, record: Mapping[str, Any]) -> Path:
    """Find the weights by name; what is said of their content must be true."""
    path = source / Path(name).name
    if not name or not path.is_file():
        raise ModelError(
            f"the package lacks its weights {name!r}",
            "Take the whole package, as a ZIP archive, with its attachments.",
        )
    listed = record.get("attachments")
    for each in listed if isinstance(listed, list) else ():
        if isinstance(each, dict) and Path(str(each.get("source"))).name == path.name:
            _refuse_unless(path, each.get("sha256"))
    return path


def _refuse_unless(path: Path, digest: Optional[str]) -> None:
    if digest and sha256(path.read_bytes()).hexdigest() != digest:
        raise ModelError(f"{path.name} is not what the package says", "Copy the package anew.")


def _percentiles_of(record: Mapping[str, Any]) -> Dict[str, float]:
    """Find the percentiles of the preprocessing, in the form of 0.3 to 0.5."""
    for tensor in _dicts(record.get("inputs")):
        for step in _dicts(tensor.get("preprocessing")):
            kwargs = step.get("kwargs")
            if "scale_range" in (step.get("id"), step.get("name")) and isinstance(kwargs, dict):
                low, high = kwargs.get("min_percentile", 0.0), kwargs.get("max_percentile", 100.0)
                if _are_percentiles(low, high):
                    return {"percentile_low": float(low), "percentile_high": float(high)}
    return {}


def _overruled(asked: Mapping[str, Any], used: Mapping[str, Any]) -> bool:
    usual = asdict(Normalisation())
    names = {"percentile_low": usual["low"], "percentile_high": usual["high"]}
    return any(asked.get(name, each) not in (each, used.get(name)) for name, each in names.items())


def _are_percentiles(low: Any, high: Any) -> bool:
    return all(isinstance(each, (int, float)) for each in (low, high)) and 0 <= low < high <= 100


def _dicts(value: Any) -> Iterator[Dict[str, Any]]:
    return (
        (each for each in value if isinstance(each, dict)) if isinstance(value, list) else iter(())
    )


def _said(record: Mapping[str, Any]) -> Dict[str, Any]:
    citations = [
        {"text": str(each.get("text", "")), "doi": str(each.get("doi") or "")}
        for each in list(_dicts(record.get("cite")))[:_MOST_CITATIONS]
    ]
    licence = record.get("license")
    return {
        "title": str(record.get("name", "")),
        "licence": licence if isinstance(licence, str) else None,
        "citations": citations,
        "authors": [str(each.get("name", "")) for each in _dicts(record.get("authors"))],
    }
