"""`perceptron train`: train a network, and watch it learn."""

from pathlib import Path
from typing import Any

import click

from cli.fields import (
    ACTIVATIONS,
    DATA,
    DETACH,
    MODEL,
    OPTIMIZERS,
    TRAINING,
    data_fields,
    field,
    given,
    training_fields,
)
from cli.reports import show_end
from cli.server import Server, asks_server, complete_dataset
from cli.watching import watch
from schemas.network import NetworkConfig
from schemas.training import TrainingConfig

OWN = ("optimizer", "learning_rate", "weight_decay", "epochs", "batch_size", "seed")
"""Fields of a training that a sweep has lists of."""


@click.command()
@click.argument("dataset", shell_complete=complete_dataset)
@click.option(
    "--hidden", "hidden_layers", type=int, multiple=True, metavar="UNITS",
    help="Units of a hidden layer; once for each layer. Without: a single-layer perceptron.",
)  # fmt: skip
@field(NetworkConfig, "activation", ACTIVATIONS)
@field(TrainingConfig, "optimizer", OPTIMIZERS)
@field(TrainingConfig, "learning_rate", float)
@field(TrainingConfig, "epochs", int)
@field(TrainingConfig, "batch_size", int)
@field(TrainingConfig, "seed", int)
@field(TrainingConfig, "weight_decay", float)
@TRAINING
@DATA
@MODEL
@DETACH
@asks_server
def train(server: Server, dataset: str, *, detach: bool, **options: Any) -> None:
    """
    Train a network on DATASET, and watch it learn.

    \b
    perceptron train xor --hidden 10 --hidden 10 --epochs 10001
    perceptron train iris --hidden 8 --validation 0.2 --model irises
    """  # noqa: D301
    refuse_file(dataset)
    body = {
        "dataset": dataset,
        "network": given(
            hidden_layers=list(options["hidden_layers"]), activation=options["activation"]
        ),
        "training": {
            **given(**{name: options[name] for name in OWN if options[name] is not None}),
            **training_fields(options),
        },
        **data_fields(options),
    }
    submit(server, body, detach=detach)


def submit(server: Server, body: dict[str, Any], *, detach: bool) -> None:
    """Post a job, watch it to its end, and say what came of it."""
    job = server.post("/jobs", body)
    if detach:
        if server.as_json:
            server.show_json(job)
        else:
            click.echo(job["id"])
        return
    ended = watch(server, job)
    if server.as_json:
        server.show_json(ended)
    else:
        show_end(server, ended)


def refuse_file(dataset: str) -> None:
    """See that a dataset is no file. Raises: BadParameter, with what to do."""
    if Path(dataset).suffix and Path(dataset).exists():
        name = Path(dataset).stem.lower()
        raise click.BadParameter(
            f"{dataset} is a file: add it first, with `perceptron datasets add {dataset}`, and "
            f"then train {name}",
            param_hint="DATASET",
        )
