# SPDX-License-Identifier: BSD-3-Clause
"""Writes the chart's Grafana dashboards: what each panel asks Prometheus, and in which unit. Part of ``make chart``."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_COLUMNS, _WIDTH, _HEIGHT = 2, 12, 8
_SOURCE = {"type": "prometheus", "uid": "${source}"}
_METRIC = re.compile(r"\b((?:dl4mic|process)_\w+)")
_INSTALLATION = '{namespace=~"$namespace", job=~"$job"}'


@dataclass(frozen=True)
class Panel:
    """A graph over time.

    Attributes
    ----------
    unit
        Grafana's name: ``s``, ``bytes``, ``short``, ``percentunit``.
    queries
        (expression, legend).
    """

    title: str
    unit: str
    queries: tuple[tuple[str, str], ...]


def _share(metric: str, quantile: float, by: str) -> str:
    return f"histogram_quantile({quantile}, sum by (le, {by}) (rate({metric}_bucket[$__rate_interval])))"


def _times(title: str, metric: str, by: str) -> Panel:
    """Draw the median and the 95th percentile of a histogram."""
    marks = ((0.5, "median"), (0.95, "95 %"))
    return Panel(
        title, "s", tuple((_share(metric, q, by), f"{{{{{by}}}}} {word}") for q, word in marks)
    )


QUEUE = (
    Panel("Open jobs", "short", (("sum by (state) (dl4mic_open_jobs)", "{{state}}"),)),
    Panel(
        "Open jobs by network", "short", (("sum by (network) (dl4mic_open_jobs)", "{{network}}"),)
    ),
    Panel("Oldest waiting job", "s", (("dl4mic_oldest_pending_seconds", "{{job}}"),)),
    _times("Wait, from acceptance to running", "dl4mic_job_wait_seconds", "network"),
    _times("Start-up, from launch to running", "dl4mic_start_up_seconds", "network"),
    _times("Run", "dl4mic_job_run_seconds", "verb"),
    _times("Pass over the jobs", "dl4mic_pass_seconds", "job"),
    Panel(
        "Jobs that ended, per hour",
        "short",
        (
            (
                "sum by (network, state) (rate(dl4mic_jobs_ended_total[$__rate_interval])) * 3600",
                "{{network}} {{state}}",
            ),
        ),
    ),
    Panel(
        "Attempts that failed, per hour, by class",
        "short",
        (
            (
                "sum by (network, error) (rate(dl4mic_attempts_failed_total[$__rate_interval])) * 3600 > 0",
                "{{network}} {{error}}",
            ),
        ),
    ),
)

GPUS = (
    Panel("GPUs there are", "short", (("sum by (product) (dl4mic_gpus)", "{{product}}"),)),
    Panel(
        "GPUs in use by project",
        "short",
        (("sum by (project) (dl4mic_gpus_in_use)", "{{project}}"),),
    ),
    Panel(
        "GPUs in use by network",
        "short",
        (("sum by (network) (dl4mic_gpus_in_use)", "{{network}}"),),
    ),
    Panel(
        "GPU hours in the last day, by project",
        "short",
        (("sum by (project) (increase(dl4mic_gpu_seconds_total[1d])) / 3600", "{{project}}"),),
    ),
    Panel(
        "Load of the workers' GPUs",
        "percentunit",
        (("dl4mic_worker_gpu_utilisation_ratio", "{{network}}"),),
    ),
    Panel("GPU memory of workers", "bytes", (("dl4mic_worker_gpu_memory_bytes", "{{network}}"),)),
    Panel("Main memory of workers", "bytes", (("dl4mic_worker_memory_bytes", "{{network}}"),)),
    Panel("Room in the workspace", "bytes", (("dl4mic_workspace_free_bytes", "{{job}}"),)),
)

TRAINING = (
    Panel("Newest loss", "short", (("dl4mic_training_loss", "{{network}} {{set}}"),)),
    Panel(
        "Oldest checkpoint of a running job",
        "s",
        (("dl4mic_oldest_checkpoint_seconds", "{{job}}"),),
    ),
    Panel(
        "Oldest sign of life of a running job",
        "s",
        (("dl4mic_oldest_heartbeat_seconds", "{{job}}"),),
    ),
    Panel(
        "Images predicted per second",
        "short",
        (("sum by (network) (rate(dl4mic_images_total[$__rate_interval]))", "{{network}}"),),
    ),
    Panel(
        "Pixels predicted per second",
        "short",
        (("sum by (network) (rate(dl4mic_pixels_total[$__rate_interval]))", "{{network}}"),),
    ),
    Panel(
        "Events of jobs per second",
        "short",
        (("sum by (kind) (rate(dl4mic_events_total[$__rate_interval]))", "{{kind}}"),),
    ),
)

API = (
    Panel(
        "Calls per second",
        "short",
        (("sum by (method) (rate(dl4mic_calls_total[$__rate_interval]))", "{{method}}"),),
    ),
    Panel(
        "Calls per second by status",
        "short",
        (("sum by (code) (rate(dl4mic_calls_total[$__rate_interval]))", "{{code}}"),),
    ),
    _times("Duration of calls", "dl4mic_call_seconds", "method"),
    Panel(
        "Calls that are being answered, watches among them",
        "short",
        (("dl4mic_calls_open", "{{job}}"),),
    ),
    Panel(
        "Calls of the cluster's API server, per second",
        "short",
        (
            (
                "sum by (verb, code) (rate(dl4mic_cluster_calls_total[$__rate_interval]))",
                "{{verb}} {{code}}",
            ),
        ),
    ),
    Panel(
        "CPU of the orchestrator, cores",
        "short",
        (("rate(process_cpu_seconds_total[$__rate_interval])", "{{job}}"),),
    ),
    Panel(
        "Memory of the orchestrator",
        "bytes",
        (("process_resident_memory_bytes", "{{job}}"),),
    ),
)

DASHBOARDS = {
    "queue": ("dl4mic: queue and waits", QUEUE),
    "gpus": ("dl4mic: GPUs and jobs", GPUS),
    "training": ("dl4mic: training and prediction", TRAINING),
    "api": ("dl4mic: API", API),
}


def dashboard(name: str, title: str, panels: Sequence[Panel]) -> dict[str, Any]:
    """Describe a dashboard in Grafana's form."""
    return {
        "uid": f"dl4mic-{name}",
        "title": title,
        "tags": ["dl4mic"],
        "schemaVersion": 36,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": _variables()},
        "panels": [_panel(number, panel) for number, panel in enumerate(panels)],
    }


def _variables() -> list[dict[str, Any]]:
    """Where to ask, and of which installations: all that are scraped, unless one is chosen."""
    chosen = {
        "type": "query",
        "datasource": _SOURCE,
        "includeAll": True,
        "multi": True,
        "current": {"text": "All", "value": "$__all"},
        "refresh": 2,
    }
    # Without an operator there may be no label `namespace`, which this matches, too; every job is one of ours.
    namespace = {"name": "namespace", "query": "label_values(dl4mic_open_jobs, namespace)"}
    job = {"name": "job", "query": 'label_values(dl4mic_open_jobs{namespace=~"$namespace"}, job)'}
    return [
        {"name": "source", "type": "datasource", "query": "prometheus"},
        {**chosen, **namespace, "allValue": ".*"},
        {**chosen, **job},
    ]


def _of_installation(expression: str) -> str:
    return _METRIC.sub(lambda metric: metric[1] + _INSTALLATION, expression)


def _panel(number: int, panel: Panel) -> dict[str, Any]:
    row, column = divmod(number, _COLUMNS)
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": panel.title,
        "datasource": _SOURCE,
        "gridPos": {"x": column * _WIDTH, "y": row * _HEIGHT, "w": _WIDTH, "h": _HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "expr": _of_installation(expression),
                "legendFormat": legend,
            }
            for index, (expression, legend) in enumerate(panel.queries)
        ],
    }


def files() -> dict[str, str]:
    """Give the text of each file in the folder."""
    return {
        f"{name}.json": json.dumps(dashboard(name, title, panels), indent=1) + "\n"
        for name, (title, panels) in DASHBOARDS.items()
    }


def write(folder: Path) -> None:
    """Write all of them into a folder."""
    for name, text in files().items():
        (folder / name).write_text(text, encoding="utf-8")
