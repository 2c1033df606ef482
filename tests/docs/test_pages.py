# SPDX-License-Identifier: BSD-3-Clause
"""Every command of the pages is run, as a reader would type it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pages import ROOT, blocks, script
from servers import ENVIRONMENTS, write_spots

from demo import commands

SERVICE_PAGES = sorted(
    path.relative_to(ROOT).as_posix() for path in ROOT.glob("services/[!_]*/README.md")
)


def run(commands_of_page: str, folder: Path, **variables: str) -> str:
    """Run a script in a folder with our programs on the PATH; return what it said."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-c", commands_of_page],
        cwd=folder,
        env={**os.environ, "PATH": path, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def workspace_in(folder: Path) -> Path:
    """A workspace that shares the tests' environments."""
    workspace = folder / "workspace"
    workspace.mkdir()
    ENVIRONMENTS.mkdir(parents=True, exist_ok=True)
    (workspace / "environments").symlink_to(ENVIRONMENTS)
    return workspace


def test_the_readme_shows_the_commands_of_the_demonstration() -> None:
    shown = blocks("README.md", "bash")[0].splitlines()
    network = shown[0].split()[2]
    assert shown == commands(network)


def test_every_link_of_every_page_leads_somewhere() -> None:
    lost = []
    listed = subprocess.run(
        ["git", "ls-files", "*.md"], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True
    )
    for page in listed.stdout.splitlines():
        prose = re.sub(r"`[^`]*`", "", (ROOT / page).read_text(encoding="utf-8"))
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", prose):
            if "://" not in target and not ((ROOT / page).parent / target).exists():
                lost.append(f"{page}: {target}")
    assert lost == []


def test_make_help_has_a_line_for_every_target() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE)
    assert targets is not None
    said = run("make help", ROOT)
    for target in targets.group(1).split():
        assert f"make {target} " in said or target == "help", target


def test_the_page_for_client_authors(copy_of_tree: Path, tmp_path: Path) -> None:
    write_spots(tmp_path / "lab", 4, seed=0)
    python = "\n".join(blocks("proto/README.md", "python"))
    (tmp_path / "client.py").write_text(python)
    commands_of_page = script("proto/README.md") + f"\npython {tmp_path}/client.py\n"
    said = run(
        commands_of_page, copy_of_tree, JOBS=str(tmp_path / "jobs"), LAB=str(tmp_path / "lab")
    )
    assert "dl4mic.v1.NetworkService" in said
    assert '"state": "SUCCEEDED"' in said
    assert "val_loss" in said and said.rstrip().endswith("SUCCEEDED")


def test_the_page_that_teaches_how_to_add_a_network(copy_of_tree: Path, tmp_path: Path) -> None:
    workspace = workspace_in(tmp_path)
    said = run(
        script("services/README.md"),
        copy_of_tree,
        DL4MIC_WORKSPACE=str(workspace),
        DL4MIC_SERVICES=str(copy_of_tree / "services"),
    )
    assert "services/mine: in order" in said
    assert "first:1" in said
    assert (copy_of_tree / "scores" / "report.pdf").stat().st_size > 10_000


def test_the_page_for_administrators(copy_of_tree: Path, tmp_path: Path) -> None:
    write_spots(tmp_path / "lab", 4, seed=0)
    said = run(
        script("orchestrator/README.md"),
        copy_of_tree,
        LAB=str(tmp_path / "lab"),
        DL4MIC_WORKSPACE=str(workspace_in(tmp_path)),
        DL4MIC_SERVICES=str(copy_of_tree / "tests" / "fakes"),
    )
    assert "lab:images/spots0.tif" in said
    assert "spots:1" in said
    assert "dl4mic_jobs" in said
    assert "nothing that nobody needs" in said
    assert "models: 1 (1 copied" in said
    assert (copy_of_tree / "restored" / "store.sqlite").exists()


@pytest.mark.timeout(900)
def test_the_page_of_the_commands(copy_of_tree: Path, tmp_path: Path) -> None:
    workspace = workspace_in(tmp_path)
    said = run(
        script("docs/commands.md"),
        tmp_path,
        DL4MIC_WORKSPACE=str(workspace),
        DL4MIC_SERVICES=str(copy_of_tree / "services"),
    )
    assert "Nothing was trained" in said
    assert "predictions\nqc\ntraining" in said
    assert "chain-train" in said and "exit code 1" in said
    assert "uploads:plate-7/" in said
    assert (tmp_path / "nuclei" / "dry-run" / "examples.png").exists()


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "page",
    sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("services/[!_]*/README.md")),
)
def test_the_page_of_a_service(page: str, copy_of_tree: Path, tmp_path: Path) -> None:
    said = run(
        script(page),
        copy_of_tree,
        DL4MIC_WORKSPACE=str(workspace_in(tmp_path)),
        DL4MIC_SERVICES=str(copy_of_tree / "services"),
    )
    assert "Next" in said
