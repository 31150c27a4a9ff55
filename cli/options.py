"""The options of every command that asks a server."""

import click

DEFAULT_SERVER = "http://127.0.0.1:8000"

SERVER = click.option(
    "--server",
    envvar="PERCEPTRON_SERVER",
    default=DEFAULT_SERVER,
    show_default=True,
    metavar="URL",
    help="Server to ask.  [env: PERCEPTRON_SERVER]",
)
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of words.")
