# SPDX-License-Identifier: BSD-3-Clause
"""A training, the control of its quality and a prediction, sent in one go; each waits for what it needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, Protocol

from dl4mic.v1.data_pb2 import Dataset
from dl4mic_client.errors import ClientError
from dl4mic_client.job import Job
from dl4mic_client.parameters import Plain
from dl4mic_client.requests import JobOptions, new_job_id

_LONGEST_ID = 42
"""Leaves room for "-predict" in the 50 letters of a job's id."""


@dataclass(frozen=True)
class Run:
    """Jobs that were sent in one go.

    Attributes
    ----------
    train : Job
        Makes the model.
    qc, predict : Job or None
        Use it; None where that was not asked for.
    """

    train: Job
    qc: Job | None = None
    predict: Job | None = None

    @property
    def jobs(self) -> list[Job]:
        """Those that there are, in the order in which they need each other."""
        return [each for each in (self.train, self.qc, self.predict) if each is not None]

    def wait(self) -> Run:
        """Wait until all have ended; returns the run itself.

        Raises
        ------
        JobFailed, JobCancelled
            One of them ended otherwise; the first one's is raised when all have ended.
        """
        for job in self.jobs:
            for _ in job.watch(job.record.last_sequence):
                pass
        for job in self.jobs:
            job.result()
        return self

    def cancel(self) -> Run:
        """Ask for the end of all that have not ended.

        The last goes first, so that none ends as one that lacks what it needs.
        """
        for job in reversed(self.jobs):
            job.cancel()
        return self


class Sender(Protocol):
    """What sends the jobs: a `Client`."""

    @property
    def train(self) -> Callable[..., Job]:
        """Send a training."""

    @property
    def qc(self) -> Callable[..., Job]:
        """Send a quality control."""

    @property
    def predict(self) -> Callable[..., Job]:
        """Send a prediction."""


def send(
    client: Sender,
    network: str,
    model: str,
    images: Mapping[str, Dataset],
    *,
    options: JobOptions,
    parameters: Mapping[str, Mapping[str, Plain]],
    **of_training: object,
) -> Run:
    """Send a training, and the jobs for whose verb there are images; all of them, or none.

    Parameters
    ----------
    images, parameters : mapping
        Of each verb: "train", "qc", "predict".
    options : JobOptions
        Of all; the ids are one name with the verb behind it.
    **of_training
        Further arguments of `Client.train`.
    """
    base = options.job or new_job_id("run", model, _LONGEST_ID)

    def said(verb: str) -> dict[str, Any]:
        data = images[verb]
        common = {"network": network, "source": data.source, "axes": data.axes}
        target = {"target": data.target} if data.target else {}
        job = replace(options, job=f"{base}-{verb}")
        return {**common, **target, "options": job, "parameters": parameters[verb]}

    with _all_or_none() as sent:
        sent["train"] = client.train(model=model, **said("train"), **of_training)
        made = f"job:{sent['train'].id}"
        if images["qc"].source:
            sent["qc"] = client.qc(made, **said("qc"))
        if images["predict"].source:
            sent["predict"] = client.predict(made, **said("predict"))
    return Run(**sent)


@contextmanager
def _all_or_none() -> Iterator[dict[str, Job]]:
    """Collect jobs that are sent; cancel them where one of them was refused."""
    sent: dict[str, Job] = {}
    try:
        yield sent
    except ClientError:
        for job in sent.values():
            with suppress(ClientError):
                job.cancel()
        raise
