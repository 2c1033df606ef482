# SPDX-License-Identifier: BSD-3-Clause
"""From `Train` accepted to the first step, through the orchestrator, with the environment there: where the time goes.

``start_up.py NETWORK``, in the environment of the orchestrator. The first run makes the environment and is not counted.
"""

from __future__ import annotations

import os
import re
import statistics
import sys
from datetime import datetime
from pathlib import Path

import dl4mic_client
from dl4mic.v1 import job_pb2
from dl4mic_client.job import Job

RUNS = 5
ROOT = Path(__file__).resolve().parents[2]
WORKSPACE = ROOT / "build" / "bench-workspace"
_LOGGED = re.compile(r"^(\S+ \S+) INFO dl4mic\.worker: (.+?)(?: on .*)?$", re.MULTILINE)
STAGES = (
    "worker runs",
    "checking the data",
    "importing the network",
    "trying the device",
    "computing",
    "first step",
)


def stages_of(job: Job) -> dict[str, float]:
    """Seconds from acceptance to the begin of each stage."""
    accepted = job.refresh().record.create_time.ToMicroseconds() / 1e6
    begun: dict[str, float] = {}
    for event in job.watch():
        seconds = event.time.ToMicroseconds() / 1e6 - accepted
        if event.HasField("state") and event.state.state == job_pb2.Job.RUNNING:
            begun["worker runs"] = seconds
        if event.HasField("progress") and event.progress.done > 0:
            begun.setdefault("first step", seconds)
    for moment, words in _LOGGED.findall("".join(job.log())):
        if words in STAGES:
            begun[words] = datetime.strptime(moment, "%Y-%m-%d %H:%M:%S,%f").timestamp() - accepted
    return begun


def main(network: str) -> None:
    example = next(ROOT.glob(f"services/*/example/{network}"))
    os.environ.setdefault("DL4MIC_WORKSPACE", str(WORKSPACE))
    with dl4mic_client.connect() as client:
        runs = []
        for _ in range(RUNS + 1):
            job = client.train(
                network,
                source=example / "train" / "source",
                target=example / "train" / "target",
                model="bench",
                preset="quick",
                epochs=1,
                steps_per_epoch=2,
            )
            runs.append(stages_of(job))
    print(
        f"{network}: seconds from acceptance to the begin of each stage, median (lowest to highest) of {RUNS}"
    )
    for stage in STAGES:
        values = [run[stage] for run in runs[1:] if stage in run]
        print(
            f"  {stage:24} {statistics.median(values):6.2f}  ({min(values):.2f} to {max(values):.2f})"
        )


if __name__ == "__main__":
    main(sys.argv[1])
