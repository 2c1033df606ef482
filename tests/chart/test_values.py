# SPDX-License-Identifier: BSD-3-Clause
"""The chart's values: made from the services' manifests, described by the schema, and refused in helpful words."""

from __future__ import annotations

import filecmp
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from charts import CHART, GUARDED, HELM, OPEN, helm, manifests, of_kind, refusal

pytestmark = pytest.mark.skipif(not HELM.exists(), reason="Helm is not installed here")

GENERATE = CHART.parent / "generate.py"
SCHEMA = json.loads((CHART / "values.schema.json").read_text())


def test_helm_finds_nothing_to_lint() -> None:
    done = helm("lint", "--strict", str(CHART), "--set", OPEN[0])
    assert done.returncode == 0, done.stdout


def test_what_is_made_of_the_chart_is_what_make_chart_writes(tmp_path: Path) -> None:
    copy = tmp_path / "chart"
    shutil.copytree(CHART, copy)
    for each in (copy / "dashboards").iterdir():
        each.unlink()
    subprocess.run([sys.executable, str(GENERATE), str(copy)], check=True)
    made = sorted(each.name for each in (copy / "dashboards").iterdir())
    assert made == sorted(each.name for each in (CHART / "dashboards").iterdir())
    files = ["values.yaml", *(f"dashboards/{name}" for name in made)]
    _, differing, missing = filecmp.cmpfiles(copy, CHART, files, shallow=False)
    assert not differing and not missing, f"run 'make chart': {differing + missing}"


def leaves(described: dict[str, Any], values: dict[str, Any], path: str = "") -> Iterator[str]:
    """Yield the values that the schema does not describe, and what it describes that has no value."""
    if "properties" not in described:
        return
    for name in set(described["properties"]) ^ set(values):
        yield f"{path}{name}"
    for name, value in values.items():
        if isinstance(value, dict) and name in described["properties"]:
            yield from leaves(described["properties"][name], value, f"{path}{name}.")


def test_the_schema_describes_every_value_and_no_other() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert sorted(leaves(SCHEMA, values)) == ["global"]


REFUSED = {
    "orchestrator.imag.tag=1": "Additional property imag is not allowed",
    "orchestrator.image.digest=sha256:12": "orchestrator.image.digest: Does not match pattern",
    "services.blur.gpuImage.tag=1": "services.blur: image is required",
    "services.blur.warmInstances=0": "services.blur.warmInstances: Must be greater than",
    "service.type=Ingress": "service.type: service.type must be one of the following",
    "service.externalTrafficPolicy=local": "service.externalTrafficPolicy must be one of the",
    "service.port=0": "service.port: Must be greater than or equal to 1",
    "workspace.size=lots": "workspace.size: Does not match pattern",
    "workspace.accessMode=ReadOnlyMany": "workspace.accessMode must be one of the following",
    "dataRoots.lab1.subPath=x": "dataRoots.lab1: claim is required",
    "dataRoots.lab1.claim=Plates": "dataRoots.lab1.claim: Does not match pattern",
    "dataRoots.Lab_1.claim=plates": 'Property name of "Lab_1" does not match',
    "jobs.gpuResource=gpu": "jobs.gpuResource: Does not match pattern",
    "jobs.priorityClasses.high=urgent": 'Property name of "high" does not match',
    "networkPolicy.apiServer.cidr=api": "networkPolicy.apiServer.cidr: Does not match pattern",
    "orchestrator.arguments={limit}": "orchestrator.arguments.0: Does not match pattern",
    "insecure=please": "insecure: Invalid type. Expected: boolean, given: string",
}


@pytest.mark.parametrize("value", REFUSED)
def test_a_wrong_value_is_refused_by_its_name(value: str) -> None:
    assert REFUSED[value] in refusal(*OPEN, value)


TOGETHER = [
    ((), "tls.secret and tokens.secret: name a TLS Secret"),
    (("tls.secret=a",), "say --set insecure=true"),
    (("tokens.secret=a",), "say --set insecure=true"),
    ((*GUARDED, "insecure=true"), "insecure: it is true, but tls.secret"),
    ((*GUARDED, "test.enabled=true"), "test.tokenSecret: `helm test` needs a token"),
    ((*OPEN, "service.nodePort=30051"), "service.nodePort: it has an effect with service.type"),
    (
        (*OPEN, "service.externalTrafficPolicy=Local"),
        "service.externalTrafficPolicy: it has an effect with service.type",
    ),
    ((*OPEN, "dataRoots.job.claim=a"), "dataRoots.job: this name is reserved"),
]


@pytest.mark.parametrize(("values", "words"), TOGETHER)
def test_values_that_do_not_go_together_are_refused(values: tuple[str, ...], words: str) -> None:
    assert words in refusal(*values)


def test_a_service_may_be_left_out_and_named_by_digest() -> None:
    listed = yaml.safe_load((CHART / "values.yaml").read_text())["services"]
    first, second = list(listed)[:2]
    digest = "sha256:" + "0123456789abcdef" * 4
    values = (*OPEN, f"services.{first}.enabled=false", f"services.{second}.image.digest={digest}")
    images = yaml.safe_load(of_kind(manifests(*values), "ConfigMap")["data"]["images.yaml"])
    assert sorted(images) == sorted(set(listed) - {first})
    assert images[second]["cpu"] == f"dl4mic-{second}@{digest}"


def test_a_service_keeps_so_many_models_loaded() -> None:
    listed = yaml.safe_load((CHART / "values.yaml").read_text())["services"]
    first, second, *others = listed
    values = (*OPEN, f"services.{first}.enabled=false", f"services.{second}.warmInstances=7")
    (container,) = of_kind(manifests(*values), "Deployment")["spec"]["template"]["spec"][
        "containers"
    ]
    said = {each for each in container["args"] if each.startswith("--warm-instances")}
    kept = {each: listed[each]["warmInstances"] for each in others}
    assert said == {f"--warm-instances={name}={n}" for name, n in {second: 7, **kept}.items()}
