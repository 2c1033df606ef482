# SPDX-License-Identifier: BSD-3-Clause
"""Alert rules and dashboards: rules fire when they should and not before, and ask for metrics that there are."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from charts import CHART, HELM, OPEN, manifests, of_kind
from prometheus import WHY_NOT, panels

from dl4mic_orchestrator.metrics import Metrics
from dl4mic_orchestrator.store import Store

RULES = CHART / "alerts" / "rules.yaml"
CASES = Path(__file__).with_name("alerts.yaml")
PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason=WHY_NOT)


def promtool(*arguments: str) -> None:
    assert PROMTOOL is not None
    done = subprocess.run(
        [PROMTOOL, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert done.returncode == 0, done.stdout


def expressions() -> Iterator[tuple[str, str]]:
    """Yield (title, expression) of every panel and rule, with a range in place of Grafana's variable."""
    for title, expression in panels().items():
        yield title, expression.replace("$__rate_interval", "2m")
    for group in yaml.safe_load(RULES.read_text())["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]


@needs_promtool
def test_the_rules_are_rules() -> None:
    promtool("check", "rules", str(RULES))


@needs_promtool
def test_each_alert_fires_when_it_should_and_not_before() -> None:
    promtool("test", "rules", str(CASES))


OURS = {"namespace": "microscopy", "job": "imaging-dl4mic-metrics"}
OTHERS = (
    {"namespace": "microscopy", "job": "second-dl4mic-metrics"},
    {"namespace": "elsewhere", "job": "imaging-dl4mic-metrics"},
)
"""What an operator's Prometheus adds to what it scrapes of the release, and of others beside it."""


def scraped(series: list[dict[str, str]], labels: dict[str, str]) -> list[dict[str, str]]:
    """Give series the labels of where they were scraped."""
    found = []
    for each in series:
        name, _, own = each["series"].partition("{")
        words = ", ".join(f'{label}="{value}"' for label, value in labels.items())
        found.append({**each, "series": f"{name}{{{words}, {own or '}'}"})
    return found


@needs_promtool
@pytest.mark.skipif(not HELM.exists(), reason="Helm is not installed here")
def test_what_becomes_of_one_installation_alerts_nobody_of_another(tmp_path: Path) -> None:
    """Beside others in which everything is wrong, each case gives the same; also where nothing is there."""
    switches = ("metrics.serviceMonitor.enabled=true", "metrics.rules.enabled=true")
    spec = of_kind(manifests(*OPEN, *switches), "PrometheusRule")["spec"]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(spec))
    cases = yaml.safe_load(CASES.read_text())
    wrong = next(test for test in cases["tests"] if test["name"] == "everything is wrong")
    beside = [each for labels in OTHERS for each in scraped(wrong["input_series"], labels)]
    for test in cases["tests"]:
        test["input_series"] = [*scraped(test["input_series"], OURS), *beside]
        for alert in (alert for case in test["alert_rule_test"] for alert in case["exp_alerts"]):
            alert["exp_labels"].update(OURS)
    (tmp_path / "cases.yaml").write_text(yaml.safe_dump({**cases, "rule_files": ["rules.yaml"]}))
    promtool("check", "rules", str(tmp_path / "rules.yaml"))
    promtool("test", "rules", str(tmp_path / "cases.yaml"))


@pytest.mark.skipif(not HELM.exists(), reason="Helm is not installed here")
def test_rules_ask_for_all_where_the_labels_of_what_is_scraped_are_not_known() -> None:
    rendered = of_kind(manifests(*OPEN, "metrics.rules.enabled=true"), "PrometheusRule")["spec"]
    assert rendered == yaml.safe_load(RULES.read_text())


def test_each_alert_has_a_case_in_which_it_fires() -> None:
    text = yaml.safe_load(CASES.read_text())
    cases = [case for test in text["tests"] for case in test["alert_rule_test"]]
    fire = {case["alertname"] for case in cases if case["exp_alerts"]}
    quiet = {case["alertname"] for case in cases if not case["exp_alerts"]}
    alerts = {
        rule["alert"]
        for group in yaml.safe_load(RULES.read_text())["groups"]
        for rule in group["rules"]
    }
    assert fire == quiet == alerts


def test_the_guide_says_of_each_alert_what_to_do() -> None:
    guide = (CHART.parent / "README.md").read_text()
    for group in yaml.safe_load(RULES.read_text())["groups"]:
        for rule in group["rules"]:
            assert f"`{rule['alert']}`" in guide, rule["alert"]


@needs_promtool
def test_every_expression_of_the_dashboards_is_one(tmp_path: Path) -> None:
    recorded = [
        {"record": f"panel:{number}", "expr": expression}
        for number, (_, expression) in enumerate(expressions())
    ]
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": recorded}]}))
    promtool("check", "rules", str(path))


SUFFIX = re.compile(r"_(total|bucket|count|sum)$")
LABELS = re.compile(r"by \(([^)]*)\)|([a-z]+)\s*(?:=~|!~|!=|=)\s*\"")
ADDED = {"le", "job", "namespace"}
"""Labels of a histogram's buckets, and of what Prometheus scrapes."""


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Each metric of an orchestrator -> its labels."""
    metrics = Metrics(Store(tmp_path_factory.mktemp("store") / "store.sqlite"))
    metrics.observe(lambda: (), lambda: 0, lambda: 0)
    collectors = metrics.registry._collector_to_names
    found = {each._name: each for each in collectors if hasattr(each, "_name")}
    found |= {each.name: each for each in metrics.registry.collect() if each.name not in found}
    return {name: set(getattr(each, "_labelnames", ())) for name, each in found.items()}


@pytest.mark.parametrize(("where", "expression"), [*expressions()])
def test_every_expression_asks_for_metrics_and_labels_that_there_are(
    where: str, expression: str, known: dict[str, set[str]]
) -> None:
    asked = {SUFFIX.sub("", name) for name in re.findall(r"\b(?:dl4mic|process)_\w+", expression)}
    assert asked and asked <= set(known), where
    found = {
        word.strip()
        for pair in LABELS.findall(expression)
        for words in pair
        for word in words.split(",")
    }
    assert found - {""} <= set().union(*(known[name] for name in asked)) | ADDED, where


def test_what_rules_ask_for_by_error_is_there_before_it_happens(tmp_path: Path) -> None:
    """Prometheus sees a series grow, and does not see it begin."""
    metrics = Metrics(Store(tmp_path / "store.sqlite"), ["blur"])
    there = {
        (sample.name, sample.labels["error"])
        for family in metrics.registry.collect()
        for sample in family.samples
        if "error" in sample.labels
    }
    asked = {
        (name, error)
        for _, expression in expressions()
        for name, errors in re.findall(r'(\w+)\{[^}]*error!?=?~?"([^"]+)"', expression)
        for error in errors.split("|")
    }
    assert asked and asked <= there


def test_no_metric_is_left_out_of_the_dashboards(known: dict[str, set[str]]) -> None:
    asked = " ".join(expression for expression in panels().values())
    ours = [name for name in sorted(known) if name.startswith("dl4mic_")]
    assert [name for name in ours if name not in asked] == []
