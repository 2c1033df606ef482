# SPDX-License-Identifier: BSD-3-Clause
"""The command line `dl4mic`: its commands, its options in common, and what its exit codes mean."""

from __future__ import annotations

from dl4mic_client.cli.backup import backup, restore
from dl4mic_client.cli.clean import clean
from dl4mic_client.cli.complete import completion
from dl4mic_client.cli.data import data
from dl4mic_client.cli.doctor import doctor
from dl4mic_client.cli.example import example
from dl4mic_client.cli.jobs import job, jobs
from dl4mic_client.cli.model_transfer import export, import_
from dl4mic_client.cli.models import model, models
from dl4mic_client.cli.networks import networks, nodes
from dl4mic_client.cli.program import program
from dl4mic_client.cli.run import run
from dl4mic_client.cli.serve import serve
from dl4mic_client.cli.submit import predict, qc, train
from dl4mic_client.cli.token import token

__all__ = ["main"]

main = program
"""Entry point of the command `dl4mic`."""

for _command in (
    serve,
    networks,
    train,
    qc,
    predict,
    run,
    example,
    jobs,
    job,
    models,
    model,
    data,
    nodes,
    completion,
    clean,
    doctor,
    backup,
    restore,
    token,
):
    main.add_command(_command)

for _command in (import_, export):
    model.add_command(_command)
