# SPDX-License-Identifier: BSD-3-Clause
"""Reads BioImage.IO packages of format 0.3 to 0.5 that carry Keras weights of a library."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Dict, Iterator, Mapping, Optional

import yaml

from dl4mic_keras.untrusted import LARGEST_TEXT, check_weights
from dl4mic_sdk.context import Context
from dl4mic_sdk.errors import ModelError
from dl4mic_sdk.normalisation import Normalisation
from dl4mic_sdk.training import weights_path

_RECORD_NAMES = ("rdf.yaml", "bioimageio.yaml")
_MOST_CITATIONS = 100


@dataclass(frozen=True)
class Package:
    """A package that holds a model of the library which was asked for.

    Attributes
    ----------
    folder
        Where it was unpacked.
    record
        Content of ``rdf.yaml``.
    own
        What the library keeps there for itself: ``config`` and ``weights`` among it.
    """

    folder: Path
    record: Mapping[str, Any]
    own: Mapping[str, Any]

    @classmethod
    def open(cls, folder: Path, library: str, network: str) -> Package:
        """Read the description of an unpacked package.

        Parameters
        ----------
        folder
            The unpacked package.
        library
            Under whose name the package keeps what is the library's own.
        network
            What its models are called, for the message.

        Raises
        ------
        ModelError
            It is damaged, or none of the library's.
        """
        record = _read_record(folder)
        own = mapping(mapping(record, "config"), library)
        if not mapping(own, "config"):
            raise ModelError(
                "the package {!r} holds no model of {}".format(record.get("name", ""), network),
                "Only packages that the {} library or dl4mic made can be imported.".format(library),
            )
        return cls(folder, record, own)

    @property
    def configuration(self) -> Dict[str, Any]:
        """The library's configuration of the model, that nobody has looked at yet."""
        return mapping(self.own, "config")

    def take_weights(self, model: Path) -> None:
        """Bring the weights into a model folder, as its best.

        Raises
        ------
        ModelError
            They are missing, damaged, or not what the package says.
        """
        weights = self._attachment(str(self.own.get("weights", "")))
        check_weights(weights)
        shutil.copyfile(str(weights), str(weights_path(model, "best", ".h5")))

    def normalisation(
        self, parameters: Mapping[str, Any], usual: Normalisation, ctx: Context
    ) -> Dict[str, Any]:
        """Return a job's parameters with the percentiles of the package, which win over them; warn where they do.

        Parameters
        ----------
        parameters
            Of the job.
        usual
            Of the network: what stands there where nobody asked for anything.
        ctx
            Is told.
        """
        found = self._percentiles()
        ordinary = {"percentile_low": usual.low, "percentile_high": usual.high}
        for name, each in ordinary.items():
            if found and parameters.get(name) not in (None, each, found[name]):
                text = "images are normalised as the package says, not as asked for"
                ctx.warning("PERCENTILES_OF_PACKAGE", text)
                break
        return dict(parameters, **found)

    def said(self) -> Dict[str, Any]:
        """Return what it states of itself, for `model.json`: title, licence, citations, authors."""
        record, licence = self.record, self.record.get("license")
        citations = [
            {"text": str(each.get("text", "")), "doi": str(each.get("doi") or "")}
            for each in list(_dicts(record.get("cite")))[:_MOST_CITATIONS]
        ]
        return {
            "title": str(record.get("name", "")),
            "licence": licence if isinstance(licence, str) else None,
            "citations": citations,
            "authors": [str(each.get("name", "")) for each in _dicts(record.get("authors"))],
        }

    def _attachment(self, name: str) -> Path:
        """Find the weights by name; what is said of their content must be true."""
        path = self.folder / Path(name).name
        if not name or not path.is_file():
            raise ModelError(
                "the package lacks its weights {!r}".format(name),
                "Take the whole package, as a ZIP archive, with its attachments.",
            )
        for each in _dicts(self.record.get("attachments")):
            if Path(str(each.get("source"))).name == path.name:
                _refuse_unless(path, each.get("sha256"))
        return path

    def _percentiles(self) -> Dict[str, float]:
        """Find the percentiles of the preprocessing, in the form of 0.3 to 0.5."""
        for tensor in _dicts(self.record.get("inputs")):
            for step in _dicts(tensor.get("preprocessing")):
                kwargs = step.get("kwargs")
                if "scale_range" in (step.get("id"), step.get("name")) and isinstance(kwargs, dict):
                    low = kwargs.get("min_percentile", 0.0)
                    high = kwargs.get("max_percentile", 100.0)
                    if _are_percentiles(low, high):
                        return {"percentile_low": float(low), "percentile_high": float(high)}
        return {}


def mapping(record: Mapping[str, Any], name: str) -> Dict[str, Any]:
    """Return a part of a record, empty where it is missing or no mapping."""
    value = record.get(name)
    return value if isinstance(value, dict) else {}


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
        text = "{} cannot be read: {}".format(name, error)
        raise ModelError(text, "Copy the package anew.") from error
    return record


def _refuse_unless(path: Path, digest: Optional[str]) -> None:
    if digest and sha256(path.read_bytes()).hexdigest() != digest:
        text = "{} is not what the package says".format(path.name)
        raise ModelError(text, "Copy the package anew.")


def _are_percentiles(low: Any, high: Any) -> bool:
    return all(isinstance(each, (int, float)) for each in (low, high)) and 0 <= low < high <= 100


def _dicts(value: Any) -> Iterator[Dict[str, Any]]:
    if isinstance(value, list):
        yield from (each for each in value if isinstance(each, dict))
