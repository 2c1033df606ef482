# SPDX-License-Identifier: BSD-3-Clause
"""The administrator's guide: its values are taken by the chart, and its commands are ones that there are."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml
from charts import CHART, HELM, OPEN, helm
from pages import ROOT, blocks, script

pytestmark = pytest.mark.skipif(not HELM.exists(), reason="Helm is not installed here")

GUIDE = "helm/README.md"


@pytest.mark.parametrize("text", blocks(GUIDE, "yaml"))
def test_the_chart_takes_the_values_of_the_guide(text: str, tmp_path: Path) -> None:
    path = tmp_path / "values.yaml"
    path.write_text(text)
    done = helm("template", "imaging", str(CHART), "--set", OPEN[0], "--values", str(path))
    assert done.returncode == 0, done.stdout


def test_the_guide_is_a_script_that_a_shell_reads() -> None:
    for language in ("bash", "sh"):
        done = subprocess.run(["bash", "-n", "-c", script(GUIDE, language)], capture_output=True)
        assert done.returncode == 0, done.stderr


def test_each_command_takes_what_a_restore_wrote() -> None:
    """Else the next upgrade would go back to the workspace and the store before it."""
    commands = script(GUIDE).replace("\\\n", " ").splitlines()
    upgrades = [each for each in commands if each.startswith("helm upgrade")]
    taken = {tuple(re.findall(r"--values (\S+)", each)) for each in upgrades}
    assert taken == {("values.yaml", "site.yaml", "data.yaml")}
    assert "cat > data.yaml <<'VALUES'" in commands[: commands.index(upgrades[-1])]
    assert not [each for each in upgrades if "--set workspace" in each or "--set store" in each]


def test_every_value_that_the_guide_names_is_there() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    text = (ROOT / GUIDE).read_text()
    named = re.findall(r"`((?:%s)(?:\.\w+)+)(?:=\w+)?`" % "|".join(values), text)
    assert named
    for path in named:
        found = values
        for key in path.replace(
            "services.NAME", "services." + next(iter(values["services"]))
        ).split("."):
            assert key in found or key == "digest", path
            found = found.get(key, {})
