"""
The server that commands ask: over HTTP, with errors as people and programs read them.

Exit statuses: 0 done; 1 the server refuses, or the command cannot do its work; 2 options that it
does not understand; 3 no server answers; 4 the job failed or was cancelled; 130 Ctrl-C.
"""

import functools
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import Any, NamedTuple, Self
from urllib.parse import quote, urlsplit

import click
import httpx
from click.core import ParameterSource
from click.shell_completion import CompletionItem
from httpx_sse import ServerSentEvent, connect_sse
from rich.console import Console

from cli.options import DEFAULT_SERVER, JSON, SERVER

LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})
REFUSED, NO_SERVER, JOB_FAILED = 1, 3, 4
"""Exit statuses."""

TIMEOUT = httpx.Timeout(120, connect=5)
STREAM = httpx.Timeout(60, connect=5)
"""Of a stream of events, which says every 15 seconds that it is still there."""
COMPLETION_SECONDS = 1.0
WIDTH = 110
"""Letters of a line where standard output is no terminal."""
PAGE = 100
"""Most items of one page."""
MOST_FAILURES = 6
"""Times in a row that a stream breaks before it is given up."""
ENDS = ("done", "deleted")
"""What a stream of events ends with."""
WHOLE = "#"
"""Points at the whole of a request."""
LAST = "last"
"""Stands for the newest job."""
JOB_ID_START = re.compile(r"job_[0-9a-f]{1,31}")
"""What may be the beginning of a job's id."""


class Refused(click.ClickException):
    """The server's problem: its detail, and where in the request it lies."""

    exit_code = REFUSED

    def __init__(self, problem: Mapping[str, Any], *, as_json: bool) -> None:
        super().__init__(str(problem.get("detail") or problem.get("title") or "refused"))
        self._problem = problem
        self._as_json = as_json
        context = click.get_current_context(silent=True)
        self._options = _options(context) if context else {}

    def show(self, file: Any = None) -> None:
        """Write it to standard error."""
        if self._as_json:
            click.echo(as_json(self._problem), file, err=file is None)
            return
        places: Sequence[Mapping[str, Any]] = self._problem.get("errors") or ()
        only = places[0] if len(places) == 1 else {}
        several = self._problem.get("title") if len(places) > 1 else None
        lines = [f"Error: {several or only.get('detail') or self.message}"]
        for place in places:
            where, option = self._place(place)
            told = "" if only else f": {place['detail']}"
            if told or where != WHOLE:
                lines.append(f"  at {where}{option}{told}")
        click.echo("\n".join(lines), file, err=file is None)

    def _place(self, place: Mapping[str, Any]) -> tuple[str, str]:
        """Say where it lies, and which option sets it: that of the innermost field that has one."""
        where = str(place.get("pointer") or place.get("parameter"))
        options = (self._options.get(name) for name in reversed(where.split("/")))
        option = next(filter(None, options), None)
        return where, f" ({option})" if option else ""


def _options(context: click.Context) -> dict[str, str]:
    """Name the options of the running command by the fields that they set."""
    return {
        str(parameter.name): parameter.opts[0]
        for parameter in context.command.params
        if isinstance(parameter, click.Option)
    }


class NoServer(click.ClickException):
    """Nobody answers."""

    exit_code = NO_SERVER

    def __init__(self, url: str, why: str = "") -> None:
        told = f" ({why})" if why else ""
        super().__init__(
            f"no server answers at {url}{told}: start one with `perceptron up`, or name another "
            "with --server or PERCEPTRON_SERVER"
        )


class JobFailed(click.ClickException):
    """The job did not succeed."""

    exit_code = JOB_FAILED

    def __init__(self, job: Mapping[str, Any]) -> None:
        error = job["error"] or {}
        told = f": {error['message']} ({error['code']})" if error else ""
        verb = "was" if job["status"] == "cancelled" else "has"
        super().__init__(f"the job {job['id']} {verb} {job['status']}{told}")


class Server:
    """A perceptron server, and how its answers are to be shown."""

    def __init__(self, url: str, *, as_json: bool = False, timeout: Any = TIMEOUT) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise click.BadParameter(
                f"{url!r} is no http:// or https:// URL", param_hint="--server"
            )
        self.url = url.rstrip("/")
        self.as_json = as_json
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, TextIOWrapper):
                stream.reconfigure(errors="replace")  # an old encoding has not every letter
        width, height = _dumb_size() if sys.stdout.isatty() else (WIDTH, None)
        self.console = Console(highlight=False, markup=False, width=width, height=height)
        """Where results go."""
        width, height = _dumb_size() if sys.stderr.isatty() else (None, None)
        self.messages = Console(
            stderr=True, highlight=False, markup=False, width=width, height=height
        )
        """Where progress goes, and what is said about it."""
        self._http = httpx.Client(
            base_url=self.url,
            timeout=timeout,
            headers={"Accept-Language": _language()},
            trust_env=parts.hostname not in LOOPBACK_HOSTS,  # no proxy to this very machine
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    # Asking

    def ask(self, method: str, path: str, **parts: Any) -> httpx.Response:
        """Send a request. Raises: NoServer; Refused where the answer is a problem."""
        try:
            answer = self._http.request(method, path, **parts)
        except httpx.TransportError as error:
            raise self._gone(error) from None
        self._check(answer)
        return answer

    def get(self, path: str, **query: Any) -> Any:
        """Read JSON."""
        known = {name: value for name, value in query.items() if value is not None}
        return _json(self.ask("GET", path, params=known))

    def post(self, path: str, body: Any, **headers: str) -> Any:
        """Send JSON, and read it."""
        return _json(self.ask("POST", path, json=body, headers=headers))

    def items(self, path: str, limit: int, **query: Any) -> dict[str, Any]:
        """Read up to so many items of a list, page by page."""
        found: list[Any] = []
        page: dict[str, Any] = {"has_more": True, "last_id": None}
        while page["has_more"] and len(found) < limit:
            size = min(PAGE, limit - len(found))
            page = self.get(path, limit=size, after=page["last_id"], **query)
            found += page["data"]
        return {"object": "list", "data": found, "has_more": page["has_more"]}

    def download(self, method: str, path: str, target: Path | None, **parts: Any) -> int:
        """Write an answer into a file, or to standard output, as it comes; returns its bytes."""
        try:
            with self._http.stream(method, path, **parts) as answer:
                if answer.is_error:
                    answer.read()
                self._check(answer)
                return _write(answer, target)
        except httpx.TransportError as error:
            raise self._gone(error) from None

    def events(self, job_id: str) -> Iterator[ServerSentEvent]:
        """Listen to a job to its end; a stream that breaks is taken up where it broke."""
        path, after, failures = f"{path_of('jobs', job_id)}/events", "0", 0
        self.get(f"{path}?limit=1")  # says what is wrong, where something is
        while failures < MOST_FAILURES:
            try:
                with connect_sse(
                    self._http, "GET", path, headers={"Last-Event-ID": after}, timeout=STREAM
                ) as source:
                    for event in source.iter_sse():
                        failures, after = 0, event.id or after
                        if event.data:  # what only says when to come back has none
                            yield event
                        if event.event in ENDS:
                            return
            except httpx.TransportError:
                pass
            failures += 1
            time.sleep(2**failures / 16)
        raise NoServer(self.url, "the stream of events breaks again and again")

    def job_id(self, name: str) -> str:
        """Give the id that a name stands for: `last`, or how the id of one recent job begins."""
        if name != LAST and not JOB_ID_START.fullmatch(name):
            return name
        limit = 1 if name == LAST else PAGE
        recent = [str(job["id"]) for job in self.get("/jobs", limit=limit)["data"]]
        if name == LAST:
            if not recent:
                raise click.ClickException("there is no job yet: `perceptron train xor` makes one")
            return recent[0]
        meant = [one for one in recent if one.startswith(name)]
        if len(meant) > 1:
            raise click.ClickException(f"the ids of several jobs begin with {name}")
        return meant[0] if meant else name

    def _check(self, answer: httpx.Response) -> None:
        if not answer.is_error and not answer.is_redirect:
            return
        try:
            problem = answer.json()
        except ValueError:
            problem = None
        if not isinstance(problem, dict) or "detail" not in problem:
            raise _not_ours(answer)
        raise Refused(problem, as_json=self.as_json)

    def _gone(self, error: httpx.TransportError) -> NoServer:
        return NoServer(self.url, "" if isinstance(error, httpx.ConnectError) else str(error))

    # Showing

    def show_json(self, value: Any) -> None:
        """Print JSON."""
        click.echo(as_json(value, indent=2))

    def say(self, text: str, **facts: Any) -> None:
        """Say that something is done; where JSON is wanted, the facts of it, if there are any."""
        if not self.as_json:
            self.messages.print(text, soft_wrap=True)
        elif facts:
            self.show_json(facts)


def as_json(value: Any, indent: int | None = None) -> str:
    """Write JSON, with escapes where standard output has not every letter."""
    is_unicode = (sys.stdout.encoding or "").lower().startswith("utf")
    return json.dumps(value, indent=indent, ensure_ascii=not is_unicode)


def path_of(*names: str) -> str:
    """Make a path of names, whatever characters they have."""
    return "/" + "/".join(quote(name, safe="") for name in names)


def asks_server(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of a server, and the server as its first argument."""

    @SERVER
    @JSON
    @functools.wraps(command)
    def wrapped(**options: Any) -> Any:
        context = click.get_current_context()
        for name in ("server", "as_json"):
            options[name] = _given(context, name)
        with Server(options.pop("server"), as_json=options.pop("as_json")) as server:
            return command(server, **options)

    return wrapped


def _given(context: click.Context, name: str) -> Any:
    """Give an option's value; one before the subcommand counts as well."""
    around: click.Context | None = context
    while around is not None:
        if around.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            return around.params[name]
        around = around.parent
    return context.params[name]


class _Asked(NamedTuple):
    """A list of the server whose names complete an argument."""

    path: str
    field: str

    def __call__(
        self, context: click.Context, _: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        url = context.params.get("server") or os.environ.get("PERCEPTRON_SERVER", DEFAULT_SERVER)
        try:
            with Server(url, timeout=COMPLETION_SECONDS) as server:
                names = [str(item[self.field]) for item in server.items(self.path, PAGE)["data"]]
        except click.ClickException:
            return []
        return [CompletionItem(name) for name in names if name.startswith(incomplete)]


complete_job = _Asked("/jobs", "id")
complete_model = _Asked("/models", "name")
complete_dataset = _Asked("/datasets", "name")
complete_gate = _Asked("/gates", "name")


def _dumb_size() -> tuple[int | None, int | None]:
    """Measure a terminal that cannot move its cursor: Rich takes it to have 80 letters a line."""
    if os.environ.get("TERM", "").lower() not in ("dumb", "unknown"):
        return None, None
    return shutil.get_terminal_size()


def _language() -> str:
    """Give the language of the messages by the environment, as gettext finds it."""
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        if os.environ.get(name):
            return "ko" if os.environ[name].startswith("ko") else "en"
    return "en"


def _json(answer: httpx.Response) -> Any:
    try:
        return answer.json()
    except ValueError:
        raise _not_ours(answer) from None


def _not_ours(answer: httpx.Response) -> click.ClickException:
    detail = f"{answer.status_code} from {answer.url}: is it a perceptron server?"
    return click.ClickException(detail)


def _write(answer: httpx.Response, target: Path | None) -> int:
    """Write an answer as it comes; a file is there once it is whole."""
    size = 0
    name, is_file = ("-", False) if target is None else (str(target), True)
    try:
        with click.open_file(name, "wb", atomic=is_file) as file:
            for piece in answer.iter_bytes():
                file.write(piece)
                size += len(piece)
    except BrokenPipeError:  # who reads has enough: click ends quietly
        raise
    except OSError as error:
        raise click.FileError(name, error.strerror) from None
    return size
