# SPDX-License-Identifier: BSD-3-Clause
"""Runs every benchmark of a network and prints the figures: ``make bench NETWORK=...``.

Ratios are of runs in turns on this machine; no test depends on them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT / "tests"))

import environments  # noqa: E402

from dl4mic.manifest import Service, read_service  # noqa: E402

AGAINST_LIBRARY = {
    "training_step.py": "a training step, ms",
    "predict_folder.py": "predict {images:.0f} images of {side:.0f} x {side:.0f} px, ms",
}
THROUGH_THE_ORCHESTRATOR = ("start_up.py", "single_image.py")


def main(network: str) -> None:
    """Run and print."""
    service = service_of(network)
    python = environments.make(service.folder / "requirements.txt", service.python_versions[0])
    say(
        f"\n{'what':40} {'ours':>9} {'library':>9} {'ratio':>6}   CPU: {'ours':>8} {'library':>9} {'ratio':>6}"
    )
    for script, title in AGAINST_LIBRARY.items():
        result = result_of(python, script, network)
        say(row_of(title.format(**result), result))
        if "kernel_share" in result:
            say("  of which the network alone, compiled: {kernel_share:.0%}".format(**result))
    memory = result_of(python, "training_memory.py", network)
    say(
        "peak memory of training, MiB: {few_mib:.0f} on {few_images:.0f} images, {many_mib:.0f} on {many_images:.0f}, "
        "ratio {ratio:.3f}\n".format(**memory)
    )
    large = result_of(python, "large_image.py", network)
    say(
        "{images:.0f} image of {side:.0f} x {side:.0f} px, pairs: {pairs:.0f}\n"
        "  peak memory, MiB: {ours_mib:.0f}, library {bare_mib:.0f}, ratio {memory_ratio:.3f}\n"
        "  wall, s: {ours_wall_s:.1f}, library {bare_wall_s:.1f}, ratio {wall_ratio:.3f}\n".format(
            **large
        )
    )
    for script in THROUGH_THE_ORCHESTRATOR:
        subprocess.run([sys.executable, str(HERE / script), network], check=True)


def service_of(network: str) -> Service:
    """Find the service that declares a network."""
    services = map(read_service, (path.parent for path in ROOT.glob("services/*/service.yaml")))
    found = [each for each in services if network in each.networks]
    if not found:
        raise SystemExit(f"no service declares {network!r}")
    return found[0]


def result_of(python: Path, script: str, network: str) -> Mapping[str, float]:
    """Run a script in the service's environment; return the JSON of its last line."""
    done = subprocess.run(
        [str(python), str(HERE / script), network],
        env={**os.environ, "PYTHONPATH": environments.source_path()},
        capture_output=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{script} failed:\n{done.stderr.decode()[-3000:]}")
    result: Mapping[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def row_of(title: str, result: Mapping[str, float]) -> str:
    """Lay a comparison out as a line of the table."""
    return (
        "{title:40} {ours_wall_ms:9.1f} {bare_wall_ms:9.1f} {wall_ratio:6.3f}"
        "        {ours_cpu_ms:8.1f} {bare_cpu_ms:9.1f} {cpu_ratio:6.3f}"
    ).format(title=title, **result)


def say(text: str) -> None:
    """Print at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1])
