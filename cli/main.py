"""
The `perceptron` command: each of its commands is in a module that is loaded when it is called.

Those that run a server have to start fast, and those that ask one need no database and no queue.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import Any, NamedTuple

import click
from click.shell_completion import CompletionItem

from cli.options import JSON, SERVER
from schemas.errors import PerceptronError


class Entry(NamedTuple):
    """Where a command is, and what its help begins with."""

    place: str
    """Module and attribute."""
    summary: str


WITH_A_SERVER: Mapping[str, Entry] = {
    "train": Entry("cli.training:train", "Train a network on DATASET, and watch it learn."),
    "sweep": Entry(
        "cli.sweeping:sweep", "Train many networks on DATASET that differ, and find the best."
    ),
    "predict": Entry("cli.predicting:predict", "Ask MODEL for ROWS, or for the rows of a file."),
    "jobs": Entry("cli.jobs:jobs", "List jobs, newest first; show, watch, pause and stop one."),
    "models": Entry("cli.models:models", "List models; show, name, export and delete them."),
    "datasets": Entry("cli.datasets:datasets", "List datasets; show, add and delete them."),
    "gates": Entry("cli.learning:gates", "List logic gates, or show one and its line."),
    "backprop": Entry("cli.learning:backprop", "Work out one step of backpropagation by hand."),
}
"""Commands that ask a server."""

OF_A_DEPLOYMENT: Mapping[str, Entry] = {
    "up": Entry("cli.hosting:up", "Run everything on this machine."),
    "serve": Entry("cli.hosting:serve", "Run the API alone."),
    "worker": Entry("cli.hosting:worker", "Run queue workers alone."),
    "migrate": Entry("cli.hosting:migrate_command", "Bring the database to this version."),
    "demo": Entry("cli.hosting:demo", "Train XOR on a deployment of its own."),
    "completion": Entry("cli.completion:completion", "Print the completion of a shell."),
}
"""Commands that run a server, or need none."""

ENTRIES = {**WITH_A_SERVER, **OF_A_DEPLOYMENT}


class Commands(click.Group):
    """Commands that are loaded one by one, and report what they cannot do in one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Name all commands."""
        return list(ENTRIES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Load a command; None where there is none by that name."""
        if cmd_name not in ENTRIES:
            return None
        module, _, name = ENTRIES[cmd_name].place.partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """List the commands without loading them."""
        for title, entries in (
            ("Commands that ask a server", WITH_A_SERVER),
            ("Commands that run one", OF_A_DEPLOYMENT),
        ):
            with formatter.section(title):
                formatter.write_dl([(name, entry.summary) for name, entry in entries.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete a command without loading any."""
        found = [
            CompletionItem(name, help=entry.summary)
            for name, entry in ENTRIES.items()
            if name.startswith(incomplete)
        ]
        return [*found, *click.Command.shell_complete(self, ctx, incomplete)]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that is meant. Raises: NoSuchCommand, with those of a similar name."""
        try:
            return super().resolve_command(ctx, args)
        except click.exceptions.NoSuchCommand as error:
            raise click.exceptions.NoSuchCommand(
                error.command_name, possibilities=ENTRIES, ctx=ctx
            ) from None

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. Raises: ClickException for every error that has a name."""
        try:
            return super().invoke(ctx)
        except PerceptronError as error:
            place = f"{error.parameter}: " if error.parameter else ""
            raise click.ClickException(place + error.detail) from None


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="perceptron-service", prog_name="perceptron")
@SERVER
@JSON
def main(**_: Any) -> None:
    """Train and serve small neural networks over HTTP."""
