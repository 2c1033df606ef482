# SPDX-License-Identifier: BSD-3-Clause
"""The demonstration: ``make demo`` trains a network on its example, scores it and applies it, by commands alone.

It prints each command as it runs it; they are those of the README. Everything it makes lies in `demo/`.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MODEL = "demo"


def network_of_the_readme() -> str:
    """Name the network that the README demonstrates."""
    found = re.search(r"^dl4mic train (\w+)", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE)
    assert found is not None
    return found[1]


def image_of(network: str) -> str:
    """Name the image of a network's service, which `make images` builds."""
    return f"dl4mic-{example_of(network).parents[1].name}"


def example_of(network: str) -> Path:
    """Folder of a network's example data, relative to the root.

    Raises
    ------
    SystemExit
        There is none.
    """
    found = sorted(ROOT.glob(f"services/*/example/{network}"))
    if not found:
        there = sorted(
            path.name for path in ROOT.glob("services/*/example/*") if (path / "train").is_dir()
        )
        raise SystemExit(f"no example of {network!r}; there are: {', '.join(there)}")
    return found[0].relative_to(ROOT)


def commands(network: str) -> list[str]:
    """The demonstration's commands, as one would type them in the root."""
    example = example_of(network)
    return [
        f"dl4mic train {network} --source {example}/train/source --target {example}/train/target"
        f" --model {MODEL} --preset quick",
        f"dl4mic qc {MODEL} --source {example}/test/source --target {example}/test/target --out demo/qc",
        f"dl4mic predict {MODEL} --source {example}/predict --out demo/predictions",
    ]


def next_commands(network: str) -> list[str]:
    """What to try after it."""
    return [
        f"dl4mic networks {network}",
        f"dl4mic predict {MODEL} --source YOUR_IMAGES --out YOUR_RESULTS",
        f"dl4mic train {network} --source YOUR_IMAGES --target YOUR_LABELS --model yours --from {MODEL}",
    ]


def main(network: str) -> int:
    """Run the commands one after the other; return the exit status of the first that fails."""
    environment = dict(os.environ)
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment["PATH"]])
    environment.setdefault("DL4MIC_WORKSPACE", str(ROOT / "demo" / "workspace"))
    environment.setdefault("DL4MIC_SERVICES", str(ROOT / "services"))
    for command in commands(network):
        print(f"\n$ {command}", flush=True)
        done = subprocess.run(shlex.split(command), cwd=ROOT, env=environment, check=False)
        if done.returncode:
            print(
                f"\nThe command failed (exit code {done.returncode}); what it said is above.",
                flush=True,
            )
            return done.returncode
    _say_what_lies_where(network, environment["DL4MIC_WORKSPACE"])
    return 0


def _say_what_lies_where(network: str, workspace: str) -> None:
    print("\nDone. Look at")
    print("  the quality report   demo/qc/report.pdf")
    print("  the scores           demo/qc/qc.csv, demo/qc/qc.json")
    print("  the model            dl4mic model show " + MODEL)
    print("  the results          demo/predictions")
    print("and try (with .venv/bin on your PATH)")
    if "DL4MIC_WORKSPACE" not in os.environ:
        print(f"  export DL4MIC_WORKSPACE={workspace}")
    for command in next_commands(network):
        print(f"  {command}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
