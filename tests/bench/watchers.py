# SPDX-License-Identifier: BSD-3-Clause
"""What 200 watchers cost a training: its steps a second with them against those with one, in turns of one job.

``watchers.py NETWORK [WATCHERS]``, in the environment of the orchestrator; NETWORK may be the fake, ``blur``. The
watchers are in four processes, each with a connection of its own; these give way to everything else, as if they ran
on other machines.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc

import dl4mic_client
from dl4mic.server import channel_target
from dl4mic.v1.job_pb2 import Job, JobEvent, WatchJobRequest
from dl4mic.v1.job_pb2_grpc import JobServiceStub

ROOT = Path(__file__).resolve().parents[2]
FAKE = "blur"
PROCESSES = 4
TURNS = 6
SECONDS = 30.0
SETTLING_SECONDS = 2.0


def main(network: str, watchers: int) -> None:
    """Train once, and let watchers come and go meanwhile."""
    os.environ.setdefault("DL4MIC_WORKSPACE", str(ROOT / "build" / "bench-workspace"))
    parameters: dict[str, object] = {"epochs": 100_000}
    if network == FAKE:
        os.environ["DL4MIC_SERVICES"] = str(ROOT / "tests" / "fakes")
        parameters = {"epochs": 10_000, "steps_per_epoch": 10_000}
    with dl4mic_client.connect() as client:
        source, target = data_of(network)
        job = client.train(
            network, source=source, target=target, model="bench", parameters=parameters
        )
        try:
            measure(client.server, job.id, network, watchers)
            sys.stdout.flush()
        finally:
            job.cancel()
            for _ in job.watch():
                pass
            job.delete()


def measure(server: str, job_id: str, network: str, watchers: int) -> None:
    """Print the ratio of step times, and what the server used."""
    seen = Seen(server, job_id)
    seen.await_first_step()
    times: dict[int, list[float]] = {1: [], watchers: []}
    loads: dict[int, list[float]] = {1: [], watchers: []}
    for _ in range(TURNS):
        for count in times:
            with watching(server, job_id, seen.last, count - 1):
                time.sleep(SETTLING_SECONDS)
                began, used = len(seen.steps), cpu_seconds_of_server()
                time.sleep(SECONDS)
                times[count].append(seconds_per_step(seen.steps[began:]))
                loads[count].append((cpu_seconds_of_server() - used) / SECONDS)
    one, many = (statistics.median(times[count]) for count in times)
    ratios = sorted(with_many / alone for alone, with_many in zip(*times.values(), strict=True))
    print(
        f"{network}: a step with one watcher {1e3 * one:.2f} ms, with {watchers} {1e3 * many:.2f} ms"
    )
    print(
        f"  ratio {statistics.median(ratios):.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f} of {TURNS} pairs)"
    )
    lone, full = (100 * statistics.median(loads[count]) for count in loads)
    rate = seen.events / (time.monotonic() - seen.began)
    print(f"  server's CPU {lone:.1f} % and {full:.1f} % of a core, at {rate:.1f} events a second")


class Seen:
    """What the one watcher that is always there saw."""

    def __init__(self, server: str, job_id: str) -> None:
        self.steps: list[tuple[float, float]] = []
        self.events = self.last = 0
        self.began = time.monotonic()
        self._watch = watch(server, job_id)
        threading.Thread(target=self._read, daemon=True).start()

    def await_first_step(self) -> None:
        """Wait until the training computes."""
        while not self.steps:
            time.sleep(0.1)
        self.events, self.began = 0, time.monotonic()

    def _read(self) -> None:
        for event in self._watch:
            self.events, self.last = self.events + 1, event.sequence
            progress = event.progress
            ended = event.state.state if event.HasField("state") else Job.RUNNING
            if ended in (Job.SUCCEEDED, Job.FAILED):
                sys.stderr.write(f"the training ended: {event.state}\n")
                os._exit(1)
            if (
                event.HasField("progress")
                and progress.phase.startswith("training")
                and progress.done > 0
            ):
                self.steps.append((event.time.ToNanoseconds() / 1e9, progress.done))


def seconds_per_step(steps: list[tuple[float, float]]) -> float:
    """Seconds per unit of progress, between the first and the last of a turn."""
    if len(steps) < 3:
        raise SystemExit(
            f"{len(steps)} reports of progress in {SECONDS:g} s are too few to measure"
        )
    (began, first), (ended, last) = steps[0], steps[-1]
    return (ended - began) / (last - first)


@contextmanager
def watching(server: str, job_id: str, after: int, count: int) -> Iterator[None]:
    """Let other processes watch; they end when their input does."""
    shares = [count // PROCESSES + (n < count % PROCESSES) for n in range(PROCESSES)]
    command = [sys.executable, __file__, "--watch", server, job_id, str(after)]
    started = [
        subprocess.Popen([*command, str(n)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for n in shares
        if n
    ]
    for process in started:
        assert process.stdout is not None
        process.stdout.readline()
    try:
        yield
    finally:
        for process in started:
            process.communicate()


def watch_many(server: str, job_id: str, after: int, count: int) -> None:
    """Watch with so many connections; say when each has had an event."""
    give_way()
    asyncio.run(_watch_many(server, job_id, after, count))


def give_way() -> None:
    """Compute when nobody else does; Linux shares cores among sessions first (sched(7), autogroup), then by nice."""
    os.setsid()
    os.nice(19)
    group = Path("/proc/self/autogroup")
    if group.exists():
        group.write_text("19")


async def _watch_many(server: str, job_id: str, after: int, count: int) -> None:
    request = WatchJobRequest(job_id=job_id, after_sequence=after).SerializeToString()
    ready = asyncio.Semaphore(0)

    async def read() -> None:
        options = [("grpc.use_local_subchannel_pool", 1)]
        channel = grpc.aio.insecure_channel(channel_target(server), options=options)
        # As bytes: what a watcher does with its events is not the server's cost.
        call = channel.unary_stream("/dl4mic.v1.JobService/WatchJob")(request)
        await call.read()
        ready.release()
        while await call.read() != grpc.aio.EOF:
            pass

    watches = [asyncio.create_task(read()) for _ in range(count)]
    for _ in range(count):
        await ready.acquire()
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    for each in watches:
        each.cancel()


def watch(server: str, job_id: str, after: int = 0) -> Iterator[JobEvent]:
    """Yield a job's events behind a number, by a connection of its own."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    channel = grpc.insecure_channel(channel_target(server), options=options)
    request = WatchJobRequest(job_id=job_id, after_sequence=after)
    yield from JobServiceStub(channel).WatchJob(request)


def cpu_seconds_of_server() -> float:
    """CPU time that the embedded orchestrator has used, by proc(5)."""
    workspace = os.environ["DL4MIC_WORKSPACE"].encode()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        words = path.read_bytes().split(b"\0") if path.exists() else []
        if b"dl4mic_orchestrator" in words and workspace in words:
            fields = (path.parent / "stat").read_text().rpartition(")")[2].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    raise SystemExit("the embedded orchestrator is not among the processes")


def data_of(network: str) -> tuple[Path, Path]:
    """Find the network's example, or write data for the fake."""
    if network != FAKE:
        example = next(ROOT.glob(f"services/*/example/{network}"))
        return example / "train" / "source", example / "train" / "target"
    sys.path.insert(0, str(ROOT / "tests"))
    from servers import write_spots

    folder = ROOT / "build" / "bench-spots"
    if not folder.exists():
        write_spots(folder, 8, seed=0)
    return folder / "images", folder / "masks"


if __name__ == "__main__":
    if sys.argv[1] == "--watch":
        watch_many(sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
    else:
        main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 200)
