# SPDX-License-Identifier: BSD-3-Clause
"""A network by itself, in its service's environment: ``in_process.py NETWORK SERVICE MODEL``.

Reads an image as a line of JSON, predicts it, and writes the seconds that the call took.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np

from dl4mic.manifest import read_service
from dl4mic_sdk.images import Image
from dl4mic_sdk.task import ModelFolder
from dl4mic_sdk.worker import open_network


def main(name: str, service: str, model: str) -> None:
    record = read_service(Path(service)).records[name]
    parameters = {
        key: each.get("default")
        for key, each in record["parameters"].items()
        if "predict" in each["verbs"]
    }
    network = open_network({"service_folder": service, "network": name, "parameters": parameters})
    network.device_kernel("auto")
    network.load(ModelFolder.open(name, Path(model), "best", name))
    for line in sys.stdin:
        image = Image(np.array(json.loads(line), np.uint16), "YX", {}, "image")
        started = time.perf_counter()
        network.predict_image(image)
        sys.stdout.write("{}\n".format(time.perf_counter() - started))
        sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
