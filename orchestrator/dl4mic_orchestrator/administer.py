# SPDX-License-Identifier: BSD-3-Clause
"""``python -m dl4mic_orchestrator backup|restore``: the administrator's commands beside serving."""

from __future__ import annotations

import argparse
import json
import sqlite3
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from dl4mic_orchestrator.backup import BackupError, Report, back_up, restore
from dl4mic_orchestrator.settings import STORE, store_place, workspace_folder
from dl4mic_orchestrator.shortage import first_of_copy
from dl4mic_orchestrator.store import StoreError, file_of

_REFUSED = 2
_NOT_WHOLE = 7
"""The exit codes that `dl4mic` gives the same meaning: refused, and a file could not be read or written."""


def main(arguments: Sequence[str]) -> int:
    """Back up or restore; return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        report = _run(options)
    except (BackupError, StoreError, ValueError) as error:
        return _failed(options, str(error), _REFUSED)
    except (OSError, sqlite3.Error) as error:
        words = f"it cannot be written or read: {first_of_copy(error)}"
        return _failed(options, words, _NOT_WHOLE)
    if options.json:
        print(json.dumps(asdict(report)))
    else:
        print(_words(options, report))
    return _NOT_WHOLE if report.broken else 0


def _run(options: argparse.Namespace) -> Report:
    workspace = options.workspace.expanduser().absolute()
    place = options.place.expanduser().absolute()
    store = _place_of(options.store or store_place(workspace, None))
    if options.command == "backup":
        return back_up(workspace, place, store=store, with_artifacts=options.with_artifacts)
    return restore(place, workspace, store=store if store != workspace / STORE else None)


def _place_of(named: Path | str) -> Path | str:
    """Tell in which file a store is; the URL where it is in none. Errors as of `file_of`."""
    return file_of(named) or named


def _words(options: argparse.Namespace, report: Report) -> str:
    copied = f"{report.copied} copied, {report.copied_bytes / 1e6:.1f} MB"
    place = options.place if options.command == "backup" else options.workspace
    text = f"models: {report.models} ({copied}); records of jobs: {report.jobs}; in {place}"
    if report.broken:
        text += (
            f"\nleft out, for their content is damaged in the workspace: {', '.join(report.broken)}"
        )
    return text


def _failed(options: argparse.Namespace, message: str, status: int) -> int:
    if options.json:
        print(json.dumps({"error": {"message": message}}))
    else:
        print(f"dl4mic {options.command}: {message}", file=sys.stderr)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="dl4mic", description="Back up and restore a workspace.")
    commands = parser.add_subparsers(dest="command", required=True)
    save = commands.add_parser("backup", help="copy store and models, while jobs run")
    save.add_argument("place", type=Path, metavar="FILE.tar|DIR")
    save.add_argument("--with-artifacts", action="store_true", help="what finished jobs made, too")
    back = commands.add_parser("restore", help="make a new workspace of a backup")
    back.add_argument("place", type=Path, metavar="FILE.tar|DIR")
    for command in (save, back):
        command.add_argument("--workspace", type=Path, default=workspace_folder(), metavar="DIR")
        command.add_argument(
            "--store", metavar="URL", help="its database, where it does not lie in the workspace"
        )
        command.add_argument("--json", action="store_true", help="answer in JSON")
    return parser
