# SPDX-License-Identifier: BSD-3-Clause
"""Plays any number of instances at one address, in a process of its own: ``crowd.py ADDRESS JOBS SECONDS``.

Each takes its job, trains for so many seconds, and leaves what a real one leaves in the job's folder.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from scripted_service import Service

from dl4mic.v1.job_pb2 import CancelJobRequest, Job, JobError, JobEvent, WatchJobRequest
from dl4mic.v1.job_pb2_grpc import JobServiceServicer, add_JobServiceServicer_to_server
from dl4mic.v1.network_pb2_grpc import NetworkServiceServicer, add_NetworkServiceServicer_to_server
from dl4mic.v1.request_pb2 import TrainRequest

STEPS = 5


class Crowd(NetworkServiceServicer, JobServiceServicer, health_pb2_grpc.HealthServicer):
    """The instances, by job."""

    def __init__(self, jobs: Path, seconds: float) -> None:
        self._jobs = jobs
        self._seconds = seconds
        self._instances: dict[str, Service] = {}
        self._news: dict[str, asyncio.Condition] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def Check(self, request: object, context: object) -> health_pb2.HealthCheckResponse:
        return health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)

    async def Train(self, request: TrainRequest, context: object) -> Job:
        job_id = request.options.job_id
        folder = self._jobs / job_id
        attempt = max(int(each.name) for each in folder.iterdir() if each.name.isdigit())
        known = self._instances.get(job_id)
        if known is None or known.attempt != attempt:
            self._instances[job_id] = Service(job_id, attempt, folder / str(attempt))
            self._news[job_id] = asyncio.Condition()
            task = asyncio.create_task(self._train(self._instances[job_id], self._news[job_id]))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return Job(id=job_id)

    async def WatchJob(self, request: WatchJobRequest, context: object) -> AsyncIterator[JobEvent]:
        service, news = self._instances[request.job_id], self._news[request.job_id]
        after = request.after_sequence
        while not (service.ended and after >= len(service.events)):
            async with news:
                while len(service.events) <= after:
                    await news.wait()
            for event in service.events[after:]:
                yield event
            after = len(service.events)

    async def CancelJob(self, request: CancelJobRequest, context: object) -> Job:
        service = self._instances[request.job_id]
        service.end("CANCELLED", JobError.CANCELLED)
        await self._tell(self._news[request.job_id])
        return Job(id=request.job_id)

    async def _train(self, service: Service, news: asyncio.Condition) -> None:
        service.say_state("RUNNING")
        for step in range(1, STEPS + 1):
            await self._tell(news)
            await asyncio.sleep(self._seconds / STEPS)
            event = JobEvent()
            event.progress.phase, event.progress.done, event.progress.total = (
                "training",
                step,
                STEPS,
            )
            service.say(event)
        service.make_model()
        service.end("SUCCEEDED")
        await self._tell(news)

    async def _tell(self, news: asyncio.Condition) -> None:
        async with news:
            news.notify_all()


async def main(address: str, jobs: Path, seconds: float) -> None:
    server = grpc.aio.server()
    crowd = Crowd(jobs, seconds)
    add_NetworkServiceServicer_to_server(crowd, server)
    add_JobServiceServicer_to_server(crowd, server)
    health_pb2_grpc.add_HealthServicer_to_server(crowd, server)
    server.add_insecure_port(address)
    await server.start()
    print("ready", flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), float(sys.argv[3])))
