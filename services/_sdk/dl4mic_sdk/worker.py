# SPDX-License-Identifier: BSD-3-Clause
"""The process that does one job: it alone imports the network and its framework, and never gRPC.

``python -m dl4mic_sdk.worker ATTEMPT_FOLDER`` reads `request.json`, checks the data, calls the network, and writes
`events.jsonl` and `artifacts/`. When it gives up, `fault.json` says why.
"""

from __future__ import annotations

import ctypes
import errno
import importlib.util
import logging
import os
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional

from dl4mic_sdk.context import Context
from dl4mic_sdk.device import Device
from dl4mic_sdk.errors import DataError, SdkError, Stopped
from dl4mic_sdk.events import EventWriter
from dl4mic_sdk.job_folder import FAULT_FILE, REQUEST_FILE, read_json, write_json
from dl4mic_sdk.network import Network

EXIT_FAULT = 3
EXIT_STOPPED = 4
HEARTBEAT_SECONDS = 10.0
PARENT_CHECK_SECONDS = 1.0

_PR_SET_PDEATHSIG = 1
_MEMORY_ERRORS = ("ResourceExhaustedError", "OutOfMemoryError")

log = logging.getLogger("dl4mic.worker")


def main(arguments: List[str]) -> int:
    """Do the job of an attempt folder; return the exit status."""
    attempt_folder = Path(arguments[0]).resolve()
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    events = EventWriter(attempt_folder)
    events.append("state", {"state": "RUNNING"})
    try:
        run(attempt_folder, events)
    except Stopped:
        log.info("stopped as asked")
        return EXIT_STOPPED
    except (
        BaseException
    ) as error:  # a KeyboardInterrupt or SystemExit of the network is a fault like another
        log.error("the job failed", exc_info=error)
        write_json(attempt_folder / FAULT_FILE, fault_of(error))
        return EXIT_FAULT
    finally:
        events.close()
    return 0


def run(attempt_folder: Path, events: EventWriter) -> None:
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
    threading.Thread(target=_beat, args=(events, os.getppid()), daemon=True).start()
    log.info("checking the data")
    data = verbs.check(request, ctx)
    log.info("importing the network")
    network = open_network(request)
    log.info("trying the device")
    ctx.device = network.device_kernel(request["device"])
    log.info("computing on %s %s", ctx.device.kind, ctx.device.name)
    verbs.RUN[request["verb"]](request, data, network, ctx)


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


def fault_of(error: BaseException) -> Dict[str, Any]:
    """Say why the job failed, in the JSON form of the contract's JobError."""
    if isinstance(error, DataError):
        files = [{"path": path, "message": message} for path, message in error.files]
        return _fault(
            error.code, error.message, error.hint, files=files, file_count=error.file_count
        )
    if isinstance(error, SdkError):
        return _fault(error.code, error.message, error.hint)
    if isinstance(error, MemoryError) or type(error).__name__ in _MEMORY_ERRORS:
        return _fault(
            "OUT_OF_MEMORY",
            "memory ran out: {}".format(_first_line(error)),
            "Lower batch_size or patch_size, or use smaller tiles.",
        )
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return _fault(
            "DISK_FULL",
            "the disk is full: {}".format(error),
            "Free some space, then retry the job.",
        )
    where = traceback.extract_tb(error.__traceback__)[-1]
    message = "{}: {} ({}, line {})".format(
        type(error).__name__, _first_line(error), Path(where.filename).name, where.lineno
    )
    return _fault(
        "INTERNAL", message, "This is a defect of the network; the job's log has the details."
    )


def _fault(code: str, message: str, hint: str, **more: Any) -> Dict[str, Any]:
    return dict(more, code=code, message=message, hint=hint)


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]


def _beat(events: EventWriter, parent: int) -> None:
    """Give signs of life, and end when the host is gone (where the kernel does not see to that)."""
    last = 0.0
    while True:
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)
        if time.monotonic() - last >= HEARTBEAT_SECONDS:
            last = time.monotonic()
            try:
                events.append("heartbeat", {"memory_bytes": resident_bytes()})
            except ValueError:
                return  # the file is closed: the job is over
        time.sleep(PARENT_CHECK_SECONDS)


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


if __name__ == "__main__":
    die_with_host(int(sys.argv[2]) if len(sys.argv) > 2 else None)
    status = main(sys.argv[1:])
    logging.shutdown()
    sys.stdout.flush()
    os._exit(status)  # everything is on disk, and a framework takes seconds to take itself down
