"""The reference says everything that there is: settings, routes, problems, states, commands."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import click
import pytest

from cli.main import ENTRIES, main
from schemas.job import EventType, JobError, JobStatus
from schemas.settings import Settings
from schemas.training import DiagnosisCode
from service.app import create_app
from service.problems import INTERNAL, INVALID, MALFORMED, PROBLEM_TYPES
from storage.migrations import migrate

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]


def reference(name: str) -> str:
    """Read a page of the reference."""
    return (REFERENCE / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_has_its_row(name: str) -> None:
    """A setting's row names its environment variable and its default."""
    default = Settings.model_fields[name].default
    written = "none" if default is None else str(default)
    assert f"| `PERCEPTRON_{name.upper()}` | `{written}` |" in reference("settings.md")


def test_every_documented_setting_exists() -> None:
    """No row is left of a setting that was removed."""
    rows = re.findall(r"^\| `PERCEPTRON_(\w+)` \|", reference("settings.md"), re.MULTILINE)
    assert {row.lower() for row in rows} == set(Settings.model_fields)


def test_every_route_is_in_the_http_reference(tmp_path: Path) -> None:
    """Each operation of the OpenAPI document has a heading, and each heading an operation."""
    paths = create_app(Settings(data_dir=tmp_path)).api_doc["paths"]
    operations = {
        f"{method.upper()} {path}" for path, methods in paths.items() for method in methods
    }
    headings = re.findall(r"^### `([A-Z]+ /\S*)`$", reference("http.md"), re.MULTILINE)
    assert set(headings) == operations
    assert len(headings) == len(operations)


def test_every_metric_is_in_the_reference(tmp_path: Path) -> None:
    """Each metric has a row with its type and labels, and each row a metric."""
    settings = Settings(data_dir=tmp_path)
    migrate(settings.database_location)
    rows = re.findall(
        r"^\| `(perceptron_\w+)` \| (\w+) \|([^|]*)\|", reference("metrics.md"), re.MULTILINE
    )
    text = create_app(settings).test_client().get("/metrics").text
    families = dict(re.findall(r"^# TYPE (perceptron_\w+) (\w+)$", text, re.MULTILINE))
    assert {name: kind for name, kind, _ in rows} == {
        name: kind for name, kind in families.items() if not name.endswith("_created")
    }
    for name, _, labels in rows:
        told = re.findall(rf"^{name}(?:_count)?{{(.*)}}", text, re.MULTILINE)
        if told:
            assert re.findall(r"(\w+)=", told[0]) == re.findall(r"`(\w+)`", labels), name


def test_every_problem_has_a_section() -> None:
    """Each code has a section that gives its HTTP status."""
    kinds = {*PROBLEM_TYPES.values(), INVALID, MALFORMED, INTERNAL}
    for kind in kinds:
        assert f"\n## {kind.code}\n\nHTTP {kind.status}" in reference("problems.md")


def test_job_states_and_events_are_explained() -> None:
    """Each status, event, failure code and diagnosis is in a table of the page on jobs."""
    words = [
        *JobStatus,
        *get_args(EventType),
        *get_args(JobError.model_fields["code"].annotation),
        *get_args(DiagnosisCode),
    ]
    page = reference("jobs.md")
    assert [word for word in words if f"| `{word}` |" not in page] == []


def _commands() -> Iterator[tuple[str, click.Command]]:
    """Give every command, and those below it, by what one types."""
    context = click.Context(main)
    for name in main.list_commands(context):
        command = main.get_command(context, name)
        assert command is not None
        yield name, command
        if isinstance(command, click.Group):
            yield from ((f"{name} {below}", one) for below, one in command.commands.items())


def test_every_command_and_option_is_in_the_cli_reference() -> None:
    """Each command has a section; each option of it has a row there, or in that of all."""
    page = reference("cli.md")
    sections = dict(
        re.findall(r"^##+ perceptron([^\n]*)\n(.*?)(?=^##|\Z)", page, re.DOTALL | re.MULTILINE)
    )
    commands = dict(_commands())
    assert set(sections) == {"", *(f" {name}" for name in commands)}
    of_all = {"--server", "--json"}
    for name, command in commands.items():
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                told = parameter.opts[0]
                section = sections["" if told in of_all else f" {name}"]
                assert f"| `{told}` |" in section, f"{name} {told}"
            else:
                told = parameter.make_metavar(click.Context(command))
                usage = sections[f" {name}"].strip().partition(":")[0]
                assert told in usage, f"{name} {told}"


def test_every_option_has_its_help() -> None:
    """Each option says in the terminal what it is for, in the words of the reference."""
    page = " ".join(reference("cli.md").split())
    for name, command in _commands():
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                words = " ".join((parameter.help or "").split())
                is_setting = parameter.name in Settings.model_fields
                is_of_all = parameter.name in ("server", "as_json")
                where = f"{name} {parameter.opts[0]}: {words!r}"
                assert re.match(r"\w.*\w", words.partition("[")[0]), where
                assert "None" not in words, where
                if not is_setting and not is_of_all:
                    assert f"| `{parameter.opts[0]}` | {words}" in page, where


def test_summaries_of_commands_are_their_own() -> None:
    """The list of commands says of each one what its help begins with."""
    for name, command in _commands():
        if " " not in name:
            first = str(command.help).strip().partition("\n")[0]
            assert first.startswith(ENTRIES[name].summary.rstrip("."))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    """Each relative link leads to a file, and its fragment to a heading there."""
    for target, fragment in relative_links(page):
        path = (page.parent / target).resolve() if target else page
        assert path.exists(), f"{page.name}: {target}"
        if fragment:
            assert fragment in anchors(path), f"{page.name}: {target}#{fragment}"


def relative_links(page: Path) -> Iterator[tuple[str, str]]:
    """Find the links of a page that stay in the repository, as (path, fragment)."""
    text = re.sub(
        r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE
    )
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if not link.startswith(("http://", "https://")):
            target, _, fragment = link.partition("#")
            yield target, fragment


def anchors(page: Path) -> set[str]:
    """Make the anchors of a page's headings as GitHub does."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
