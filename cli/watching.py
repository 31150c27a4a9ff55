"""Watching a job: its progress and its curve, drawn anew with each event, until it ends."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import click
from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from cli.curve import Curve, Series
from cli.server import JobFailed, NoServer, Server, path_of

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it."""
SPINNER, SHARE, TOLD, TIME = 2, 5, 31, 9
"""Letters of the parts of a progress line, each with a blank behind it."""
LEAST_BAR, MOST_BAR = 8, 28
"""Letters of a bar."""

_TOLD = {
    "started": "runs",
    "requeued": "waits again",
    "pausing": "is being paused",
    "paused": "is paused",
    "resumed": "goes on",
    "cancelling": "is stopping",
}
"""What some events say of the job."""


def watch(server: Server, job: dict[str, Any]) -> dict[str, Any]:
    """
    Show a job until it ends; returns the ended job.

    Ctrl-C leaves it running. Raises: JobFailed where it fails or is cancelled.
    """
    try:
        if server.as_json:
            for _ in server.events(job["id"]):
                pass
        else:
            _show(server, server.get(path_of("jobs", job["id"])))
        ended: dict[str, Any] = server.get(path_of("jobs", job["id"]))
    except KeyboardInterrupt:
        server.messages.print(
            f"\nThe job goes on. Watch it: perceptron jobs watch {job['id']}"
            f"\n           Stop it:     perceptron jobs cancel {job['id']}",
            soft_wrap=True,
        )
        raise click.exceptions.Exit(INTERRUPTED) from None
    except NoServer:
        server.messages.print(
            f"When it is back, watch the job: perceptron jobs watch {job['id']}", soft_wrap=True
        )
        raise
    if ended["status"] != "succeeded":
        raise JobFailed(ended)
    return ended


def _show(server: Server, job: dict[str, Any]) -> None:
    view = View(job, server.messages.width)
    with Live(view.render(), console=server.messages, refresh_per_second=12) as live:
        for event in server.events(job["id"]):
            if event.event not in ("done", "deleted"):
                view.take(event.event, json.loads(event.data)["data"])
            live.update(view.render())


class View:
    """What is known of a job from its events."""

    def __init__(self, job: dict[str, Any], width: int) -> None:
        """
        Show it in lines of so many letters.

        The bar gives way to the numbers, and the title, which then has a line of its own, too.
        """
        self.records: list[dict[str, Any]] = []
        lacking = job.get("waiting_for")
        self._lacking = f"It waits for {lacking['message']}." if lacking else None
        title = title_of(job)
        room = width - SPINNER - SHARE - TOLD + 1
        times = (TimeElapsedColumn(), TimeRemainingColumn())[: max(0, room // TIME)]
        room -= TIME * len(times)
        has_title = cell_len(title) < room
        room -= cell_len(title) + 1 if has_title else 0
        self._title = None if has_title else title
        self._progress = Progress(
            SpinnerColumn(finished_text="✓"),
            *([TextColumn("{task.description}", markup=False)] if has_title else []),
            *([BarColumn(min(room - 1, MOST_BAR))] if room > LEAST_BAR else []),
            TaskProgressColumn(),
            TextColumn("{task.fields[told]}", markup=False),
            *times,
            auto_refresh=False,
        )
        self._bar = self._progress.add_task(
            title, total=_total(job), told="waits" if lacking else "is starting"
        )
        self._is_sweep = job["kind"] == "sweep"
        self._done = 0

    def take(self, kind: str, data: dict[str, Any]) -> None:
        """Take an event in."""
        self._lacking = self._lacking if kind == "queued" else None
        if kind == "epochs":
            self._take_records(data["records"])
        elif kind == "progress":
            self._done += data.get("trainings", data.get("rows", 0))
            self._update(self._done, "trainings" if self._is_sweep else "rows")
        elif kind == "planned":
            self._update(self._done, f"rung {data['rung'] + 1}: {data['trainings']:,} trainings")
        elif kind in _TOLD:
            self._update(None, _TOLD[kind])
        elif kind == "succeeded":
            self._progress.update(self._bar, total=self._progress.tasks[0].completed or 1)
            self._progress.update(self._bar, completed=self._progress.tasks[0].total)
            if self._is_sweep:
                self._update(None, "best one trained")

    def render(self) -> RenderableType:
        """Draw the progress line, and below it the curve where there is one."""
        parts: list[RenderableType] = [] if self._title is None else [Text(self._title)]
        parts.append(self._progress.get_renderable())
        if self._lacking:
            parts.append(Text(self._lacking, "yellow"))
        if len(self.records) > 1:
            parts += [Text(""), curve_of(self.records)]
        return Group(*parts)

    def _take_records(self, records: list[dict[str, Any]]) -> None:
        first = records[0]["epoch"]  # a later attempt begins anew, or at a checkpoint
        self.records = [record for record in self.records if record["epoch"] < first] + records
        told = f"loss {records[-1]['train_loss']:.4g}"
        if records[-1].get("train_accuracy") is not None:
            told += f", accuracy {records[-1]['train_accuracy']:.3g}"
        self._update(None if self._is_sweep else records[-1]["epoch"] + 1, told)

    def _update(self, completed: int | None, told: str) -> None:
        self._progress.update(self._bar, told=told)
        if completed is not None:
            self._progress.update(self._bar, completed=completed)


def curve_of(records: list[dict[str, Any]]) -> Curve:
    """Make the curve of the losses."""
    return Curve(
        [
            Series(name, colour, list(_points(records, field)))
            for name, colour, field in (
                ("training loss", "blue", "train_loss"),
                ("validation loss", "magenta", "valid_loss"),
            )
        ]
    )


def _points(records: list[dict[str, Any]], field: str) -> Iterator[tuple[float, float]]:
    for record in records:
        if record.get(field) is not None:
            yield record["epoch"], record[field]


def shape_of(job: Mapping[str, Any]) -> str:
    """Write a network's hidden layers, such as 10-10."""
    hidden = (job["network"] or {}).get("hidden_layers") or []
    return "-".join(map(str, hidden)) or "no hidden layer"


def title_of(job: Mapping[str, Any]) -> str:
    """Say in few words what a job does."""
    if job["kind"] == "train":
        return f"{job['dataset']}: {shape_of(job)}"
    return f"{job['kind']}: {job['dataset']}"


def _total(job: dict[str, Any]) -> int | None:
    if job["kind"] == "sweep":
        return job["sweep"]["trainings"] if job.get("sweep") else None
    return int(job["progress"].get("epochs") or job["progress"].get("rows") or 0) or None
