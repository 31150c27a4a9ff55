"""`perceptron jobs`: list, show, watch, stop and forget jobs."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from cli.reports import (
    card_of,
    classes_of,
    show_diagnosis,
    show_end,
    show_metrics,
)
from cli.server import LAST, Server, as_json, asks_server, complete_job, path_of
from cli.tables import STATUS_COLOURS, Column, listed, pairs, status
from cli.watching import curve_of, shape_of, title_of, watch

FIGURES = ("loss", "confusion")
JOB = click.argument("job", default=LAST, shell_complete=complete_job)


@click.group(invoke_without_command=True)
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="Most jobs.")
@click.option("--status", type=click.Choice(list(STATUS_COLOURS)), help="Only jobs of this status.")
@asks_server
def jobs(server: Server, *, limit: int, status: str | None) -> None:
    """
    List jobs, newest first; show, watch, pause and stop one.

    JOB is a job's id, the beginning of a recent one's, or `last`, the newest one, which it is
    where none is given.
    """
    if click.get_current_context().invoked_subcommand is None:
        _list(server, limit, status)


def _list(server: Server, limit: int, only: str | None) -> None:
    found = server.items("/jobs", limit, status=only)
    if server.as_json:
        server.show_json(found)
        return
    columns = (
        Column("!job", lambda job: job["id"]),
        Column("!status", lambda job: status(job["status"]), 1),
        Column("what", title_of, 2),
        Column("!>acc.", _accuracy, 3),
        Column("model", _model, 4),
        Column("!made", lambda job: _time(job["created_at"]), 5),
    )
    listed(server.console, found, "jobs", columns)
    for message in _lacking(found["data"]):
        server.console.print(f"Queued jobs wait for {message}.", style="yellow")


def _accuracy(job: Mapping[str, Any]) -> str:
    found = (job["metrics"] or {}).get("train") or job.get("evaluation") or {}
    return "" if found.get("accuracy") is None else f"{found['accuracy']:.3g}"


def _model(job: Mapping[str, Any]) -> str:
    """Name what a job published; one without a name of its own is known by the job's id."""
    model = job["model"]
    if not model or model["name"] == job["id"]:
        return ""
    return f"{model['name']} v{model['version']}"


def _lacking(found: Sequence[Mapping[str, Any]]) -> Collection[str]:
    """Say what queued jobs wait for that is not there, the newest job's first."""
    lacks = (job["waiting_for"] for job in found)
    return dict.fromkeys(lack["message"] for lack in lacks if lack)


@jobs.command()
@JOB
@asks_server
def show(server: Server, job: str) -> None:
    """Show a job: what it does, its curve, its metrics, the diagnosis."""
    found = server.get(path_of("jobs", server.job_id(job)))
    if server.as_json:
        server.show_json(found)
        return
    console = server.console
    console.print(pairs(_facts(found)))
    if len(found["history"]) > 1:
        console.print(curve_of(found["history"]))
    if found["metrics"]:
        show_metrics(console, found["metrics"], classes_of(card_of(server, found)))
    if found["diagnosis"]:
        show_diagnosis(console, found["diagnosis"])


@jobs.command(name="watch")
@JOB
@asks_server
def watch_command(server: Server, job: str) -> None:
    """Watch a job until it ends, from its first event on."""
    found = server.get(path_of("jobs", server.job_id(job)))
    ended = watch(server, found)
    if server.as_json:
        server.show_json(ended)
    else:
        show_end(server, ended)


@jobs.command()
@JOB
@asks_server
def cancel(server: Server, job: str) -> None:
    """Stop a job: at once while it waits, within seconds while it runs."""
    found = _change(server, job, "cancel")
    is_final = found["status"] == "cancelled"
    server.say(f"{found['id']} {'is cancelled' if is_final else 'is being cancelled'}", **found)


@jobs.command()
@JOB
@asks_server
def pause(server: Server, job: str) -> None:
    """Pause a training: it leaves its worker, and goes on when it is resumed."""
    found = _change(server, job, "pause")
    is_paused = found["status"] == "paused"
    server.say(f"{found['id']} {'is paused' if is_paused else 'is being paused'}", **found)


@jobs.command()
@JOB
@asks_server
def resume(server: Server, job: str) -> None:
    """Let a paused training go on from where it was."""
    found = _change(server, job, "resume")
    server.say(f"{found['id']} goes on", **found)


def _change(server: Server, job: str, verb: str) -> dict[str, Any]:
    """Ask for a change of a job; gives the job as it is then."""
    found: dict[str, Any] = server.ask(
        "POST", f"{path_of('jobs', server.job_id(job))}/{verb}"
    ).json()
    return found


@jobs.command()
@JOB
@click.option("--follow", is_flag=True, help="Go on until the job has ended.")
@asks_server
def events(server: Server, job: str, *, follow: bool) -> None:
    """Print what happened to a job, a line of JSON for each event."""
    job_id = server.job_id(job)
    if follow:
        for event in server.events(job_id):
            if event.event not in ("done", "deleted"):
                click.echo(event.data)
        return
    for event in server.items(f"{path_of('jobs', job_id)}/events", 1_000_000)["data"]:
        click.echo(as_json(event))


@jobs.command()
@click.argument("job", shell_complete=complete_job)
@click.option("--yes", is_flag=True, help="Do not ask.")
@asks_server
def rm(server: Server, job: str, *, yes: bool) -> None:
    """Forget a job, stopping it where it runs; the model that it published stays."""
    job_id = server.job_id(job)
    if not yes:
        click.confirm(f"Forget the job {job_id}?", abort=True, err=True)
    server.ask("DELETE", path_of("jobs", job_id))
    server.say(f"{job_id} is forgotten", deleted=job_id)


@jobs.command()
@JOB
@click.argument("figure", type=click.Choice(FIGURES), default="loss")
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write; its name ends in .svg or .png.",
)
@click.option("--dark", is_flag=True, help="Light on dark.")
@asks_server
def figure(server: Server, job: str, *, figure: str, output: Path, dark: bool) -> None:
    """Draw a job's learning curves or confusion matrices into a file."""
    path = f"{path_of('jobs', server.job_id(job))}/figures/{figure}"
    save_figure(server, path, output, is_dark=dark)


def save_figure(server: Server, path: str, output: Path, *, is_dark: bool, **query: Any) -> None:
    """Write a figure in the form that the file's name says. Raises: BadParameter."""
    form = output.suffix.lower().removeprefix(".")
    if form not in ("svg", "png"):
        raise click.BadParameter(f"{output}: its name must end in .svg or .png", param_hint="-o")
    query |= {"format": form} | ({"theme": "dark"} if is_dark else {})
    size = server.download("GET", path, output, params=query)
    server.say(f"{output}: {size:,} bytes", file=str(output), size_bytes=size)


def _facts(job: dict[str, Any]) -> list[tuple[str, Any]]:
    progress, training = job["progress"], job["training"] or {}
    done, total = (progress.get(name) for name in ("epoch", "epochs"))
    if done is None:
        done, total = progress["rows_done"], progress["rows"]
    model, error = job["model"], job["error"]
    used = " on ".join(filter(None, (job["engine"], job["device"])))
    return [
        ("job", job["id"]),
        ("status", status(job["status"])),
        ("waits for", job["waiting_for"] and job["waiting_for"]["message"]),
        ("error", f"{error['message']} ({error['code']})" if error else None),
        ("kind", job["kind"]),
        ("dataset", job["dataset"]),
        ("network", shape_of(job) if job["network"] else None),
        ("optimizer", training.get("optimizer")),
        ("learning rate", training.get("learning_rate")),
        ("seed", training.get("seed")),
        ("progress", f"{done:,} of {total:,}"),
        ("engine", used or None),
        ("made", _time(job["created_at"])),
        ("model", f"{model['name']}, version {model['version']}" if model else None),
    ]


def _time(text: str) -> str:
    return f"{datetime.fromisoformat(text).astimezone():%Y-%m-%d %H:%M:%S}"
