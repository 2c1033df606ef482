# SPDX-License-Identifier: BSD-3-Clause
"""Says in plain words what a service folder lacks; imports its network only when that can work here."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Iterator, List, Optional, Sequence

from dl4mic.manifest import ManifestError, Service, read_service

NEEDED = ("service.yaml", "network.py", "requirements.in", "requirements.txt", "README.md", "tests")
METHODS = ("train", "load", "predict_image")
FORBIDDEN = ("grpc", "google.protobuf", "dl4mic", "dl4mic_orchestrator", "dl4mic_client")


def problems_of_service(folder: Path) -> List[str]:
    """Return everything that keeps a folder from being a service, one sentence each."""
    folder = Path(folder)
    if not folder.is_dir():
        return ["{} is no folder".format(folder)]
    problems = ["{} is missing".format(name) for name in NEEDED if not (folder / name).exists()]
    try:
        service = read_service(folder)
    except ManifestError as error:
        return problems + ["service.yaml: {}".format(each) for each in error.problems]
    problems += _problems_of_lock(folder)
    if (folder / "network.py").exists():
        problems += _problems_of_code(folder / "network.py", service)
    for path in sorted(folder.glob("*.py")):
        problems += _problems_of_imports(path)
    return problems


def _problems_of_lock(folder: Path) -> Iterator[str]:
    lock = folder / "requirements.txt"
    if lock.exists() and "--hash=" not in lock.read_text(encoding="utf-8"):
        yield "requirements.txt has no hashes: make it with 'uv pip compile --generate-hashes requirements.in'"


def _problems_of_code(path: Path, service: Service) -> Iterator[str]:
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except SyntaxError as error:
        yield "network.py cannot be read: {}".format(error)
        return
    named = _networks_of(tree)
    if named is None:
        yield "network.py must end with 'networks = {\"name in service.yaml\": Class, ...}'"
        return
    for name in service.networks:
        if name not in named:
            yield "network.py: 'networks' does not name {}, which service.yaml has".format(name)
    for name in named:
        if name not in service.networks:
            yield "network.py: 'networks' names {}, which service.yaml has not".format(name)
    yield from _problems_of_classes(tree)
    yield from _problems_of_formats(tree, service)


def _networks_of(tree: ast.Module) -> Optional[List[str]]:
    for node in tree.body:
        value = getattr(node, "value", None)
        if isinstance(value, ast.Dict) and "networks" in _names_assigned(node):
            return [ast.literal_eval(key) for key in value.keys if key is not None]
    return None


def _names_assigned(node: ast.stmt) -> Sequence[str]:
    targets: Sequence[ast.expr] = ()
    if isinstance(node, ast.AnnAssign):
        targets = [node.target]
    elif isinstance(node, ast.Assign):
        targets = node.targets
    return [each.id for each in targets if isinstance(each, ast.Name)]


def _problems_of_classes(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and any(
            getattr(base, "id", "") == "Network" for base in node.bases
        ):
            written = {each.name for each in node.body if isinstance(each, ast.FunctionDef)}
            for method in METHODS:
                if method not in written:
                    yield "network.py: class {} has no method {}".format(node.name, method)


def _problems_of_formats(tree: ast.Module, service: Service) -> Iterator[str]:
    formats = [each for network in service.networks.values() for each in network.model_formats]
    written = {each.name for each in ast.walk(tree) if isinstance(each, ast.FunctionDef)}
    needed = {
        "import_model": [each.name for each in formats if each.imported],
        "export_model": [each.name for each in formats if each.exported],
    }
    for method, names in needed.items():
        if names and method not in written:
            yield "network.py: no class has the method {}, which {} in service.yaml needs".format(
                method, names[0]
            )


def _problems_of_imports(path: Path) -> Iterator[str]:
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except SyntaxError:
        return
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [each.name for each in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module or ""]
        for name in names:
            if any(name == each or name.startswith(each + ".") for each in FORBIDDEN):
                yield "{} imports {}: a network needs nothing but dl4mic_sdk and its framework".format(
                    path.name, name
                )
