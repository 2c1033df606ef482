# SPDX-License-Identifier: BSD-3-Clause
"""Import and export of models: what surrounds a network's own reading and writing of other programs' formats."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any, Iterator, Mapping, Tuple

from dl4mic_sdk import archive, model_record
from dl4mic_sdk.context import Context
from dl4mic_sdk.data_summary import DataSummary
from dl4mic_sdk.errors import ModelError
from dl4mic_sdk.model_check import check_model
from dl4mic_sdk.model_source import OWN_FORMAT, check_source, digest_of, files_of, opened
from dl4mic_sdk.network import Network
from dl4mic_sdk.task import ModelFolder

MODEL = "model"
EXPORT = "export"
OF_THE_REGISTRY = "model.yaml"
"""What the registry adds to a model folder; no part of the model."""


def import_model(
    request: Mapping[str, Any], data: DataSummary, network: Network, ctx: Context
) -> None:
    """Take a model in, and prove that it is one by loading all of its weights."""
    source, kind = Path(request["source"]), check_source(request)
    model = ctx.artifacts / MODEL
    shutil.rmtree(str(model), ignore_errors=True)
    model.mkdir()
    ctx.log.info("importing %s as %s", source, kind)
    with opened(source, ctx.attempt_folder / "unpacked") as folder:
        if kind == OWN_FORMAT:
            _copy(folder, model)
        else:
            said = network.import_model(folder, kind, model, ctx)
            origin = {"format": kind, "file": source.name, "sha256": digest_of(source)}
            model_record.imported(request, model, origin=origin, said=said)
    _prove(request, model, network, ctx)
    ctx.artifact(MODEL, "imported model")


def export_model(
    request: Mapping[str, Any], data: DataSummary, network: Network, ctx: Context
) -> None:
    """Pack a model for another program."""
    asked, kind = request["models"][0], request["format"]
    model = ModelFolder.open(
        asked["name"], Path(asked["folder"]), asked["weights"], request["network"]
    )
    made = ctx.attempt_folder / "made"
    shutil.rmtree(str(made), ignore_errors=True)
    made.mkdir()
    name = "{}-{}".format(slug(model.name), kind)
    if kind == OWN_FORMAT:
        files = _own_files(model.path, slug(model.name))
    else:
        network.export_model(model, kind, made, ctx)
        files = files_of(made)
    (ctx.artifacts / EXPORT).mkdir(exist_ok=True)
    path = "{}/{}.zip".format(EXPORT, name)
    archive.pack(files, ctx.artifacts / path)
    shutil.rmtree(str(made))
    title = request["manifest"].get("formats", {}).get(kind, {}).get("title", "model folder")
    ctx.artifact(path, "{} of {}".format(title, model.name), "application/zip")


def slug(name: str) -> str:
    """Turn the name of a model, ``nuclei:3`` or a folder, into the name of a file: ``nuclei-3``."""
    return re.sub(r"[^a-z0-9]+", "-", Path(name).name.lower()).strip("-") or "model"


def _own_files(folder: Path, below: str) -> Iterator[Tuple[Path, str]]:
    for path, name in files_of(folder):
        if name != OF_THE_REGISTRY:
            yield path, "{}/{}".format(below, name)


def _copy(folder: Path, model: Path) -> None:
    for path, name in files_of(folder):
        if name != OF_THE_REGISTRY:
            (model / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(str(path), str(model / name))


def _prove(request: Mapping[str, Any], path: Path, network: Network, ctx: Context) -> None:
    name = request["model_name"]
    kept = model_record.weights_of(ModelFolder.open(name, path, "", request["network"]))
    for number, weights in enumerate(kept):
        ctx.raise_if_stopping()
        ctx.progress(number, len(kept), "weights", "loading the model")
        model = ModelFolder.open(name, path, weights, request["network"])
        check_model(model)
        _load(network, model)
    ctx.progress(len(kept), len(kept), "weights", "loading the model")


def _load(network: Network, model: ModelFolder) -> None:
    hint = "Its files do not fit each other: copy the whole model anew."
    try:
        network.load(model)
    except ModelError as error:
        raise ModelError(error.message, error.hint or hint) from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        text = "model {} cannot be loaded: {!r}"
        raise ModelError(text.format(model.name, error), hint) from error
