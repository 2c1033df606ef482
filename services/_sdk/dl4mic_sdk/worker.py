# SPDX-License-Identifier: BSD-3-Clause
"""The process that does one job: it alone imports the network and its framework, and never gRPC.

``python -m dl4mic_sdk.worker ATTEMPT_FOLDER [HOST_ID [HEARTBEAT_SECONDS]]`` reads `request.json`, checks the data,
calls the network, and writes `events.jsonl` and `artifacts/`. When it gives up, `fault.json` says why.
"""

from __future__ import annotations

import ctypes
import faulthandler
import importlib.util
import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional

from dl4mic_sdk.context import Context
from dl4mic_sdk.device import Device
from dl4mic_sdk.diagnosis import fault_of
from dl4mic_sdk.errors import SdkError, Stopped
from dl4mic_sdk.events import EventWriter
from dl4mic_sdk.gpu_use import GpuUse, gpu_use
from dl4mic_sdk.inputs import changed_files
from dl4mic_sdk.job_folder import (
    EXIT_DONE,
    EXIT_FAULT,
    EXIT_OF_CODE,
    EXIT_STOPPED,
    FAULT_FILE,
    REQUEST_FILE,
    read_json,
    write_json,
)
from dl4mic_sdk.network import Network

HEARTBEAT_SECONDS = 10.0
PARENT_CHECK_SECONDS = 1.0

_PR_SET_PDEATHSIG = 1
_FIRST_TO_GO = "500"
"""Of 1000, as the kernel weighs whom to kill when memory runs out: the worker, not the host that can tell of it."""

log = logging.getLogger("dl4mic.worker")


def main(arguments: List[str]) -> int:
    """Do the job of an attempt folder; return the exit status."""
    attempt_folder = Path(arguments[0]).resolve()
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    try:
        _do(attempt_folder, float(arguments[2]) if len(arguments) > 2 else HEARTBEAT_SECONDS)
    except Stopped:
        log.info("stopped as asked")
        return EXIT_STOPPED
    except (
        BaseException
    ) as error:  # a KeyboardInterrupt or SystemExit of the network is a fault like another
        log.error("the job failed", exc_info=error)
        return give_up(attempt_folder, error)
    return 0


def _do(attempt_folder: Path, heartbeat_seconds: float) -> None:
    stale = attempt_folder / FAULT_FILE
    if stale.exists():
        stale.unlink()
    events = EventWriter(attempt_folder)
    try:
        events.append("state", {"state": "RUNNING"})
        run(attempt_folder, events, heartbeat_seconds)
    finally:
        events.close()


def give_up(attempt_folder: Path, error: BaseException) -> int:
    """Leave word of why, and return the exit status, which says it where the word cannot be written."""
    fault = fault_of(error, attempt_folder)
    try:
        write_json(attempt_folder / FAULT_FILE, fault)
    except OSError as full:
        log.error("this cannot be written down: %s (%s)", fault["message"], full)
    return EXIT_OF_CODE.get(fault["code"], EXIT_FAULT)


def run(
    attempt_folder: Path, events: EventWriter, heartbeat_seconds: float = HEARTBEAT_SECONDS
) -> None:
    """Do the job of an attempt folder, in this process.

    Raises
    ------
    SdkError
        Data, model or device are at fault.
    Stopped
        SIGTERM came and the network has checkpointed.
    """
    from dl4mic_sdk import verbs

    request = read_json(attempt_folder / REQUEST_FILE)
    ctx = Context(attempt_folder, events, Device("cpu", ""))
    signal.signal(signal.SIGTERM, lambda *_: ctx.stop())
    threading.Thread(
        target=_beat, args=(ctx, events, os.getppid(), heartbeat_seconds), daemon=True
    ).start()
    log.info("checking the data")
    data = verbs.check(request, ctx)
    if request.get("prediction"):
        verbs.qc_of_predictions(request, data, ctx)
        _warn_of_changes(ctx)
        return
    log.info("importing the network")
    network = open_network(request)
    log.info("trying the device")
    ctx.device = network.device_kernel(request["device"])
    log.info("computing on %s %s", ctx.device.kind, ctx.device.name)
    verbs.RUN[request["verb"]](request, data, network, ctx)
    _warn_of_changes(ctx)


def _warn_of_changes(ctx: Context) -> None:
    changed = changed_files(ctx.attempt_folder)
    if changed:
        path, what = changed[0]
        words = "{} {}, and {} other files: the result may mix what was and what is"
        ctx.warning("input-changed", words.format(path, what, len(changed) - 1))


def open_network(request: Mapping[str, Any]) -> Network:
    """Import `network.py` of the service folder and make the network that the request names.

    Raises
    ------
    SdkError
        The service folder is not complete.
    """
    folder = Path(request["service_folder"])
    sys.path.insert(0, str(folder))
    module = import_network(folder)
    classes: Dict[str, Any] = getattr(module, "networks", {})
    if request["network"] not in classes:
        raise SdkError(
            "{}: its 'networks' does not name {}".format(folder / "network.py", request["network"]),
            "Add it there, as service.yaml has it.",
        )
    network: Network = classes[request["network"]](request["network"], request["parameters"])
    return network


def import_network(folder: Path) -> Any:
    """Import `network.py` of a service folder, whatever else is called so."""
    spec = importlib.util.spec_from_file_location("network", str(folder / "network.py"))
    if spec is None or spec.loader is None or not (folder / "network.py").exists():
        raise SdkError("{} is missing".format(folder / "network.py"), "A service folder needs it.")
    module = importlib.util.module_from_spec(spec)
    sys.modules["network"] = module
    spec.loader.exec_module(module)
    return module


def _beat(ctx: Context, events: EventWriter, parent: int, seconds: float) -> None:
    """Give signs of life, and end when the host is gone (where the kernel does not see to that).

    A worker that can no longer say that it lives has no record of what it does, and ends.
    """
    last = 0.0
    gpus = gpu_use(os.environ)
    while True:
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)
        if time.monotonic() - last >= seconds:
            last = time.monotonic()
            try:
                events.append("heartbeat", sign_of_life(ctx.device, gpus))
            except ValueError:
                return  # the file is closed: the job is over
            except OSError as error:
                log.error("no sign of life can be written", exc_info=error)
                os._exit(give_up(ctx.attempt_folder, error))
        time.sleep(PARENT_CHECK_SECONDS)


def sign_of_life(device: Device, gpus: Optional[GpuUse]) -> Dict[str, float]:
    """Give the fields of a heartbeat; those of a GPU where the job computes on one and its driver tells."""
    figures = gpus.figures() if gpus is not None and device.kind == "gpu" else {}
    return dict(figures, memory_bytes=resident_bytes())


def resident_bytes() -> int:
    """Main memory that this process holds now; 0 where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def die_with_host(host: Optional[int]) -> None:
    """Have the kernel kill this process when the host dies, as it may die without a word."""
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    except (OSError, AttributeError):
        pass  # not Linux: `_beat` looks after it
    if host is not None and os.getppid() != host:
        os._exit(EXIT_STOPPED)


def go_first() -> None:
    """Have the kernel take this process before others when memory runs out."""
    try:
        Path("/proc/self/oom_score_adj").write_text(_FIRST_TO_GO)
    except OSError:
        pass  # not Linux, or less than it has already


if __name__ == "__main__":
    faulthandler.enable()  # the log gets the stack when native code fails, or the host ends a hang
    go_first()
    die_with_host(int(sys.argv[2]) if len(sys.argv) > 2 else None)
    status = main(sys.argv[1:])
    logging.shutdown()
    sys.stdout.flush()
    os._exit(
        status or EXIT_DONE
    )  # everything is on disk, and a framework takes seconds to take itself down
