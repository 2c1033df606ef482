# SPDX-License-Identifier: BSD-3-Clause
"""An orchestrator whose instances are pods, on the cluster of the tests: ``on_cluster.py [start] [warm] [watchers]``.

start: seconds from `Train` accepted until the pod's worker has begun, and, in turns, from a bare Job of the same image
made with kubectl until its first line.
warm: milliseconds of `PredictImage` of 256 x 256 pixels through orchestrator and pod, and of the pod alone, in turns.
watchers: whether each of 200 watchers of a job got every event, and what memory the orchestrator has for one.
Without a name, all of them. The network is the fake, the orchestrator a process of this machine.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import grpc

TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS))

from cluster.cluster import Cluster, running  # noqa: E402
from cluster.outside import IMAGE, Outside, outside  # noqa: E402

from dl4mic.bearer import showing  # noqa: E402
from dl4mic.server import channel_target  # noqa: E402
from dl4mic.v1.data_pb2 import ModelReference  # noqa: E402
from dl4mic.v1.job_pb2 import Job, JobEvent, WatchJobRequest  # noqa: E402
from dl4mic.v1.job_pb2_grpc import JobServiceStub  # noqa: E402
from dl4mic.v1.network_pb2 import ImageHeader, PredictImageRequest  # noqa: E402
from dl4mic.v1.network_pb2_grpc import NetworkServiceStub  # noqa: E402

RUNS = 7
WARM_UP = 5
PAIRS = 40
SIZE = 256
WATCHERS = 200
PROCESSES = 4
SETTLING_SECONDS = 5.0
_BESIDE_OTHERS = {"resources": {"blur": {"requests": {"cpu": "100m"}}}}
"""Settings of the backend: a warm instance keeps its place while the next job begins."""

_SAY_TIME = "import time; print(time.time(), flush=True)"


class Bench:
    """A cluster and an orchestrator that uses it."""

    def __init__(self, cluster: Cluster, namespace: str, server: Outside) -> None:
        self.cluster = cluster
        self.namespace = namespace
        self.server = server

    def kubectl(self, *words: str) -> str:
        """Run kubectl in the namespace."""
        return self.cluster.kubectl("--namespace", self.namespace, *words)

    def pod(self, selector: str) -> dict:
        """Find the one pod with a label."""
        words = ("--namespace", self.namespace, "pods", f"--selector={selector}")
        (found,) = self.cluster.get(*words)["items"]
        return found


def start(bench: Bench) -> None:
    """Compare starts, the first of each left out."""
    pairs = [(_start_ours(bench), _start_bare(bench)) for _ in range(RUNS + 1)][1:]
    ours, bare = ([pair[side] for pair in pairs] for side in (0, 1))
    checked, begun = ([each[part] for each in ours] for part in (0, 1))
    print(f"start: seconds, median (lowest to highest) of {RUNS}")
    print(f"  Train accepted -> data checked, Job asked for  {_spread(checked)}")
    print(f"  Train accepted -> the pod's worker has begun   {_spread(begun)}")
    print(f"  bare Job accepted -> its first line            {_spread(bare)}")
    print(f"  more, in pairs  {_spread([one[1] - other for one, other in pairs])}")


def _start_ours(bench: Bench) -> tuple[float, float]:
    job_id = f"start-{uuid.uuid4().hex[:8]}"
    accepted = bench.server.train(job_id, epochs=1).create_time.ToNanoseconds()
    first: dict[int, float] = {}
    for event in bench.server.events(job_id):
        if event.HasField("state"):
            seconds = (event.time.ToNanoseconds() - accepted) / 1e9
            first.setdefault(event.state.state, seconds)
    return first[Job.STARTING], first[Job.RUNNING]


def _start_bare(bench: Bench) -> float:
    name = f"bare-{uuid.uuid4().hex[:8]}"
    bench.kubectl("create", "job", name, f"--image={IMAGE}", "--", "python", "-c", _SAY_TIME)
    accepted = time.time()
    bench.kubectl("wait", "--for=condition=Complete", "--timeout=120s", f"job/{name}")
    begun = float(bench.kubectl("logs", f"job/{name}"))
    bench.kubectl("delete", "job", name)
    return begun - accepted


def warm(bench: Bench) -> None:
    """Compare calls that pass the orchestrator with calls that do not."""
    bench.server.train("model", epochs=1)
    model = bench.server.wait("model").model
    through = _predictor(bench.server.networks, ModelReference(name=model))
    through()
    pod = bench.pod("dl4mic-network=blur,!dl4mic-job")
    mounts = pod["spec"]["containers"][0]["volumeMounts"]
    (folder,) = [each["mountPath"] for each in mounts if "/models/" in each["mountPath"]]
    (token,) = [each["mountPath"] for each in mounts if "/tokens/" in each["mountPath"]]
    with grpc.insecure_channel(f"{pod['status']['podIP']}:50051") as channel:
        reference = ModelReference(name=model, location=folder)
        stub = NetworkServiceStub(showing(channel, Path(token).read_text()))
        alone = _predictor(stub, reference)
        for _ in range(WARM_UP):
            through(), alone()
        pairs = [(through(), alone()) for _ in range(PAIRS)]
    print(f"warm: PredictImage of {SIZE} x {SIZE}, milliseconds, median (lowest to highest)")
    print(f"  through orchestrator and pod  {_spread([pair[0] for pair in pairs])}")
    print(f"  the pod alone                 {_spread([pair[1] for pair in pairs])}")
    print(f"  added, in pairs               {_spread([one - other for one, other in pairs])}")


def _predictor(networks: NetworkServiceStub, model: ModelReference) -> Callable[[], float]:
    header = PredictImageRequest.Header(network="blur", model=model)
    header.image.CopyFrom(ImageHeader(shape=[SIZE, SIZE], dtype="uint16", axes="YX"))
    pixels = bytes(range(256)) * (2 * SIZE * SIZE // 256)

    def messages() -> Iterator[PredictImageRequest]:
        yield PredictImageRequest(header=header)
        yield PredictImageRequest(chunk=pixels)

    def milliseconds() -> float:
        began = time.perf_counter()
        received = sum(len(each.chunk) for each in networks.PredictImage(messages(), timeout=120))
        assert received
        return 1e3 * (time.perf_counter() - began)

    return milliseconds


def watchers(bench: Bench) -> None:
    """Watch one training by many, each with a connection of its own, from its first event to its last."""
    bench.server.train("watched", epochs=150, steps_per_epoch=1, step_seconds=0.2)
    bench.server.wait_for("watched", "checkpoint")
    before = bench.server.figures().resident_mib
    command = [sys.executable, __file__, "--watch", bench.server.address, "watched"]
    started = [
        subprocess.Popen([*command, str(WATCHERS // PROCESSES)], stdout=subprocess.PIPE, text=True)
        for _ in range(PROCESSES)
    ]
    _lines(started)
    time.sleep(SETTLING_SECONDS)
    with_all = bench.server.figures().resident_mib
    seen = [each for line in _lines(started) for each in json.loads(line)]
    last = bench.server.wait("watched").last_sequence
    whole = sum(each == [last, last] for each in seen)
    kib = 1024 * (with_all - before) / WATCHERS
    print(f"watchers: {whole} of {len(seen)} saw all {last} events of the job, each once")
    print(
        f"  resident {before:.0f} MiB before them, {with_all:.0f} MiB with them: {kib:.0f} KiB each"
    )


def _lines(processes: Sequence[subprocess.Popen[str]]) -> list[str]:
    return [each.stdout.readline() for each in processes if each.stdout is not None]


async def watch(server: str, job_id: str, count: int) -> None:
    """Watch with so many connections; print how many events each saw, and the number of the last."""
    ready = asyncio.Semaphore(0)

    async def one() -> tuple[int, int]:
        options = [("grpc.use_local_subchannel_pool", 1)]
        channel = grpc.aio.insecure_channel(channel_target(server), options=options)
        seen: set[int] = set()
        async for event in JobServiceStub(channel).WatchJob(WatchJobRequest(job_id=job_id)):
            assert isinstance(event, JobEvent) and event.sequence not in seen
            if not seen:
                ready.release()
            seen.add(event.sequence)
        return len(seen), max(seen)

    tasks = [asyncio.create_task(one()) for _ in range(count)]
    for _ in range(count):
        await ready.acquire()
    print("ready", flush=True)
    print(json.dumps(await asyncio.gather(*tasks)), flush=True)


def _spread(values: Sequence[float]) -> str:
    return f"{statistics.median(values):6.2f}  ({min(values):.2f} to {max(values):.2f})"


def main(names: Sequence[str]) -> None:
    """Measure what is named."""
    measures = {"start": start, "warm": warm, "watchers": watchers}
    namespace = f"dl4mic-bench-{uuid.uuid4().hex[:8]}"
    with (
        running() as cluster,
        tempfile.TemporaryDirectory(dir="/var/tmp", ignore_cleanup_errors=True) as folder,
    ):
        if not cluster.is_ours:
            raise SystemExit(
                "these measures are of a cluster on this machine, whose folders its pods see"
            )
        cluster.bring("dl4mic-fakes")
        with outside(cluster, namespace, Path(folder) / "o", _BESIDE_OTHERS) as server:
            for name in names or measures:
                measures[name](Bench(cluster, namespace, server))
                sys.stdout.flush()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--watch"]:
        asyncio.run(watch(sys.argv[2], sys.argv[3], int(sys.argv[4])))
    else:
        main(sys.argv[1:])
