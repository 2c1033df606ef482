# SPDX-License-Identifier: BSD-3-Clause
"""A Kubernetes to test on: finds it or brings it up, carries images into it, and speaks with it by kubectl and Helm.

It is the one that KUBECONFIG names, else the one that the tool of `container_engine` makes on this machine.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from container_engine import ROOT, TOOL, build_images, has_tool, run_tool

HOME = Path(os.environ.get("CLUSTER_HOME", Path.home() / ".cache" / "test-cluster"))
"""Of the tool: its programs lie here."""

GPUS = "2"
"""That the tool's node offers."""

Object = dict[str, Any]


class NoClusterError(Exception):
    """There is none here; the message says why."""


@dataclass(frozen=True)
class Cluster:
    """A cluster that answers.

    Attributes
    ----------
    kubeconfig
        Who we are to it, and where it is.
    is_ours
        The tool made it: it runs on this machine, its volumes are folders here, and it gets images from us alone.
    """

    kubeconfig: str
    is_ours: bool

    def environment(self) -> dict[str, str]:
        """Give the variables with which kubectl, helm and our own programs work."""
        folders = [str(Path(sys.executable).parent), os.environ["PATH"]]
        if self.is_ours:
            folders.insert(0, str(HOME / "bin"))
        return {**os.environ, "KUBECONFIG": self.kubeconfig, "PATH": os.pathsep.join(folders)}

    def run(self, *command: str, check: bool = True, stdin: str | None = None) -> str:
        """Run a program; return what it said, without its warnings unless it may fail."""
        done = subprocess.run(
            command,
            env=self.environment(),
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if check else subprocess.STDOUT,
            text=True,
        )
        failed = check and done.returncode
        assert not failed, f"{' '.join(command)}: {done.stdout}{done.stderr}"
        return done.stdout

    def kubectl(self, *words: str, check: bool = True) -> str:
        """Run kubectl."""
        return self.run("kubectl", *words, check=check)

    def apply(self, *objects: Object) -> None:
        """Make objects, or make them so."""
        for each in objects:
            self.run("kubectl", "apply", "--filename", "-", stdin=json.dumps(each))

    def get(self, *words: str) -> Object:
        """Read an object, or a list of them."""
        found: Object = json.loads(self.kubectl("get", *words, "--output", "json"))
        return found

    def node(self) -> Object:
        """Give a node that has a machine: the tool and other tests play some."""
        real = "--selector=!test-cluster/fake,!dl4mic-test/played"
        found: Object = self.get("nodes", real)["items"][0]
        return found

    @contextmanager
    def namespace(self, name: str, most_seconds: int = 120) -> Iterator[str]:
        """Make a namespace, which goes at the end with all that is in it."""
        self.kubectl("create", "namespace", name)
        try:
            yield name
        finally:
            self.kubectl("delete", "namespace", name, f"--timeout={most_seconds}s", check=False)

    def bring(self, *names: str) -> None:
        """Build images, and carry them into the cluster.

        A cluster of others is taken to have them, or to know where they are from.

        Raises
        ------
        NoEngine
            This machine cannot build one.
        """
        if not self.is_ours:
            return
        build_images(*names)
        for reference in references(*names):
            run_tool("image", "load", reference)


@contextmanager
def running() -> Iterator[Cluster]:
    """Find a cluster; one that has to be brought up is taken down at the end.

    Raises
    ------
    NoClusterError
        There is none.
    NoEngine
        None can be made.
    """
    ours = str(HOME / "run" / "kubeconfig")
    named = os.environ.get("KUBECONFIG", ours)
    if named != ours:
        yield _answering(Cluster(named, is_ours=False))
        return
    if not has_tool():
        raise NoClusterError(f"KUBECONFIG names no cluster, and there is no {TOOL} to make one")
    was_up = subprocess.run([TOOL, "status"], capture_output=True).returncode == 0
    if not was_up:
        run_tool("build")
        run_tool("up", "--gpus", GPUS)
    try:
        yield _answering(Cluster(ours, is_ours=True))
    finally:
        if not was_up:
            run_tool("down")


def _answering(cluster: Cluster) -> Cluster:
    try:
        cluster.kubectl("get", "nodes", "--request-timeout=20s")
    except (AssertionError, OSError) as error:
        raise NoClusterError(f"the cluster of {cluster.kubeconfig}: {error}") from error
    return cluster


def references(*names: str) -> list[str]:
    """Name images by tag, those with CUDA left out."""
    lister = [sys.executable, str(ROOT / "helm" / "images" / "build.py"), *names, "--list"]
    listed = subprocess.run(lister, check=True, capture_output=True, text=True).stdout.split()
    return [each for each in listed if not each.endswith("-gpu")]
