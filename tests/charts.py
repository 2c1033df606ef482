# SPDX-License-Identifier: BSD-3-Clause
"""Renders the chart as an administrator would, for the tests that look at what comes of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).resolve().parents[1] / "helm" / "dl4mic"
HELM = Path(sys.executable).with_name("helm")

OLDEST, NEWEST = "1.20.0", "1.37.0"
"""Versions of Kubernetes: the oldest that the chart takes, and the newest whose schemas are at hand."""

OPEN = ("insecure=true",)
GUARDED = ("tls.secret=certificate", "tokens.secret=tokens")
FULL = (
    *GUARDED,
    "test.enabled=true",
    "test.tokenSecret=token",
    "dataRoots.lab1.claim=plates",
    "dataRoots.lab1.subPath=lab1",
    "metrics.serviceMonitor.enabled=true",
    "metrics.rules.enabled=true",
    "metrics.dashboards.enabled=true",
    "store.postgresql.secret=database",
    "images.registry=registry.example.org/imaging",
    "images.pullSecrets={pull}",
    "networkPolicy.clients[0].namespaceSelector.matchLabels.team=imaging",
    "networkPolicy.apiServer.cidr=10.0.8.0/28",
    "networkPolicy.database.cidr=10.0.0.0/24",
    "networkPolicy.scrapers[0].namespaceSelector.matchLabels.team=monitoring",
    "service.type=NodePort",
    "service.nodePort=30051",
    "service.externalTrafficPolicy=Local",
)
"""Values that switch on all there is."""

Manifest = dict[str, Any]


def helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Helm; what it says on either stream is in stdout."""
    return subprocess.run(
        [str(HELM), *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def template(*values: str, version: str = NEWEST, chart: Path = CHART) -> str:
    """Render the release ``imaging`` in the namespace ``microscopy``."""
    flags = [word for value in values for word in ("--set", value)]
    place = ("imaging", str(chart), "--namespace", "microscopy", "--kube-version", version)
    done = helm("template", *place, *flags)
    assert done.returncode == 0, done.stdout
    return done.stdout


def manifests(*values: str, version: str = NEWEST) -> list[Manifest]:
    """Render, and read the manifests."""
    return [each for each in yaml.safe_load_all(template(*values, version=version)) if each]


def refusal(*values: str) -> str:
    """Render values that must be refused; return in which words."""
    flags = [word for value in values for word in ("--set", value)]
    done = helm("template", "imaging", str(CHART), *flags)
    assert done.returncode != 0, "it was not refused"
    return done.stdout


def of_kind(found: list[Manifest], kind: str, name: str = "imaging-dl4mic") -> Manifest:
    """Pick a manifest by kind and name."""
    (one,) = [each for each in found if (each["kind"], each["metadata"]["name"]) == (kind, name)]
    return one


def pods(found: list[Manifest]) -> list[Manifest]:
    """Give the pods: labels and spec of what is one or makes some."""
    made = [each["spec"]["template"] for each in found if each["kind"] == "Deployment"]
    return made + [each for each in found if each["kind"] == "Pod"]
