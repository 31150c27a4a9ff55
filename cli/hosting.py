"""
`perceptron up | serve | worker | migrate | demo`: what runs a server.

Each command loads what it needs when it runs: `up` and `serve` have the API load before that.
"""

# ruff: noqa: PLC0415

import fcntl
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, get_args

import click
from pydantic import ValidationError

from schemas.settings import Settings
from workers.children import Children, api_process

Option = Callable[[Callable[..., Any]], Callable[..., Any]]


def setting(name: str, *flags: str) -> Option:
    """Make the command-line option of a setting, with the setting's own help and type."""
    field = Settings.model_fields[name]
    choices = get_args(field.annotation)
    kind = click.Choice(choices) if choices else field.annotation
    flag = flags or (f"--{name.replace('_', '-')}",)
    help_text = f"{field.description}  [default: {field.default}]"
    return click.option(*flag, name, type=kind, default=None, help=help_text)


def settings_from(options: dict[str, Any]) -> Settings:
    """Read the settings; options that were given win. From then on files are for their owner."""
    os.umask(0o077)
    try:
        return Settings(**{name: value for name, value in options.items() if value is not None})
    except ValidationError as error:
        found = (
            f"PERCEPTRON_{str(item['loc'][0]).upper()}: {item['msg']}" for item in error.errors()
        )
        raise click.ClickException("; ".join(found)) from None


@click.command()
@setting("host")
@setting("port")
@setting("data_dir")
@setting("workers")
@setting("api_workers")
def up(**options: Any) -> None:
    """Run everything on this machine: API, embedded Valkey, workers, SQLite."""
    settings = settings_from({**options, "queue": "train"})
    lock = _lock(settings.data_dir)
    listener = _listener(settings)
    with Children() as children:  # from now on a signal ends all that is started
        children.add_api(settings, listener)  # it loads while this process does
        from cli import deployment

        deployment.run(settings, children, _url(listener))
    lock.close()


@click.command()
@setting("host")
@setting("port")
@setting("data_dir")
@setting("api_workers")
def serve(**options: Any) -> None:
    """Run the API alone, on PERCEPTRON_DATABASE_URL and PERCEPTRON_VALKEY_URL."""
    settings = settings_from(options)
    listener = _listener(settings)
    command, environment = api_process(settings, listener)
    click.echo(f"perceptron serves at {_url(listener)}")
    os.execve(command[0], [*command], {**os.environ, **environment})  # noqa: S606


@click.command()
@setting("data_dir")
@setting("workers")
@setting("queue")
def worker(**options: Any) -> None:
    """Run queue workers alone; start as many, on as many hosts, as there is work for."""
    settings = settings_from(options)
    from cli import deployment

    deployment.run_workers(settings)


@click.command()
def demo() -> None:
    """Train XOR on a deployment of its own, with hidden layers and without."""
    from cli.demo import run_demo

    run_demo()


@click.command(name="migrate")
@setting("data_dir")
def migrate_command(**options: Any) -> None:
    """Bring the database to this version's schema, and store the built-in models and datasets."""
    settings = settings_from(options)
    from cli import deployment
    from storage.logs import configure_logging

    configure_logging(settings)
    deployment.prepare(settings)


def _lock(data_dir: Path) -> IO[bytes]:
    """Hold the data directory for this process; another `up` on it is refused."""
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = (data_dir / "lock").open("wb")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise click.ClickException(
            f"{data_dir} is in use by another `perceptron up`: stop it, or pass another --data-dir"
        ) from None
    return lock


def _listener(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family, backlog=2048)
    except OSError as error:
        reason = str(error.strerror).partition(" (while")[0]
        raise click.ClickException(
            f"{settings.host}:{settings.port}: {reason}: choose another --host or --port"
        ) from None


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
