"""`perceptron models`: list, show, name, export and delete models."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from rich.markdown import Markdown

from cli.jobs import save_figure
from cli.region import region
from cli.server import Server, asks_server, complete_model, path_of
from cli.tables import Column, listed, number
from schemas.media_types import MARKDOWN

FORMS = {"onnx": "onnx", "safetensors": "safetensors", "card": "md"}
"""What a model is exported as, and how such a file's name ends."""
FIGURES = ("boundary", "network", "loss", "confusion")
NAME = click.argument("model", shell_complete=complete_model)
VERSION = click.option(
    "--version", default="latest", show_default=True, help="Number or alias of the version."
)


@click.group(invoke_without_command=True)
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="Most models.")
@asks_server
def models(server: Server, *, limit: int) -> None:
    """List models; show, name, export and delete them."""
    if click.get_current_context().invoked_subcommand is None:
        _list(server, limit)


def _list(server: Server, limit: int) -> None:
    found = server.items("/models", limit)
    if server.as_json:
        server.show_json(found)
        return
    columns = (
        Column("!model", lambda model: model["name"]),
        Column("!>latest", lambda model: str(model["latest_version"]), 1),
        Column("!>versions", lambda model: str(len(model["versions"])), 6),
        Column("dataset", lambda model: model["current"]["dataset"], 2),
        Column("!task", lambda model: model["current"]["task"], 7),
        Column("!>score", _score, 3),
        Column("aliases", _aliases, 5),
        Column("!", lambda model: "built in" if model["built_in"] else "", 4),
    )
    listed(server.console, found, "models", columns)


def _score(model: Mapping[str, Any]) -> str:
    """Write the main metric of the version that stands for the model."""
    score = model["current"]["score"]
    if score is None:
        return ""
    name = "R²" if score["metric"] == "r2" else "acc."
    return f"{name} {number(score['value'])}"


def _aliases(model: Mapping[str, Any]) -> str:
    own = {name: number for name, number in model["aliases"].items() if name != "latest"}
    return ", ".join(f"{name} → {number}" for name, number in own.items())


@models.command()
@NAME
@VERSION
@asks_server
def show(server: Server, model: str, *, version: str) -> None:
    """Show a version's card: what it is for, its data, its training, how good it is."""
    path = path_of("models", model, "versions", version)
    if server.as_json:
        server.show_json(server.get(path))
        return
    card = server.ask("GET", f"{path}/card", headers={"Accept": MARKDOWN}).text
    server.console.print(Markdown(card))


@models.command()
@NAME
@click.argument("name")
@click.argument("version", type=int, required=False)
@click.option(
    "--split",
    multiple=True,
    metavar="VERSION=WEIGHT",
    help="Share of the traffic for a version; once for each.",
)
@click.option(
    "--shadow",
    "shadows",
    type=int,
    multiple=True,
    metavar="VERSION",
    help="Version that is asked, too; its answers are compared and never returned.",
)
@click.option("--sticky-by", metavar="HEADER", help="Header whose value decides on the version.")
@click.option("--rollback", is_flag=True, help="Put it back to what it was before its last move.")
@click.option("--delete", is_flag=True, help="Delete it.")
@asks_server
def alias(server: Server, model: str, *, name: str, **options: Any) -> None:
    """
    Point the alias NAME of MODEL at VERSION; without one, say where it points.

    \b
    perceptron models alias my-xor champion 2
    perceptron models alias my-xor champion --split 2=9 --split 3=1
    """  # noqa: D301
    path = path_of("models", model, "aliases", name)
    route = _route(**{key: options[key] for key in ("version", "split", "shadows", "sticky_by")})
    wishes = [bool(route), options["rollback"], options["delete"]]
    if sum(wishes) > 1:
        raise click.UsageError("give a version, --split, --rollback or --delete: one of them")
    if not any(wishes):
        _show_alias(server, server.get(path))
        return
    condition = _condition(server, model, name)
    if options["delete"]:
        server.ask("DELETE", path, headers=condition)
        server.say(f"{model} has no alias {name} any more", deleted=name)
    elif options["rollback"]:
        _show_alias(server, server.ask("POST", f"{path}/rollback", headers=condition).json())
    else:
        _show_alias(server, server.ask("PUT", path, json=route, headers=condition).json())


def _route(
    version: int | None, split: tuple[str, ...], shadows: tuple[int, ...], sticky_by: str | None
) -> dict[str, Any]:
    route: dict[str, Any] = {} if version is None else {"version": version}
    if split:
        route["split"] = [_share(text) for text in split]
    if shadows:
        route["shadows"] = list(shadows)
    return route | ({} if sticky_by is None else {"sticky_by": sticky_by})


def _share(text: str) -> dict[str, Any]:
    version, _, weight = text.partition("=")
    try:
        return {"version": int(version), "weight": float(weight)}
    except ValueError:
        raise click.BadParameter(f"{text!r} is no VERSION=WEIGHT", param_hint="--split") from None


def _condition(server: Server, model: str, alias: str) -> dict[str, str]:
    """Say which state of the alias is meant: the one that is there now, where there is one."""
    known = server.get(path_of("models", model))["aliases"]
    if alias not in known:
        return {}
    return {
        "If-Match": server.ask("GET", path_of("models", model, "aliases", alias)).headers["ETag"]
    }


def _show_alias(server: Server, alias: dict[str, Any]) -> None:
    if server.as_json:
        server.show_json(alias)
        return
    shares = alias["split"] or [{"version": alias["version"], "weight": 1}]
    total = sum(share["weight"] for share in shares)
    told = ", ".join(
        f"version {share['version']}"
        + (f" ({share['weight'] / total:.0%})" if len(shares) > 1 else "")
        for share in shares
    )
    shadows = ", ".join(map(str, alias["shadows"]))
    more = f", shadows: {shadows}" if shadows else ""
    server.console.print(f"{alias['model']} {alias['alias']} → {told}{more}")


@models.command()
@NAME
@click.option("--version", default=None, help="Delete this version alone.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@asks_server
def rm(server: Server, model: str, *, version: str | None, yes: bool) -> None:
    """Delete a model with all its versions and aliases, or one version of it."""
    told = f"the model {model}" if version is None else f"version {version} of {model}"
    path = (
        path_of("models", model)
        if version is None
        else path_of("models", model, "versions", version)
    )
    found = server.get(path)
    if not yes:
        count = 1 if version else len(found["versions"])
        several = f" and its {count} versions" if count > 1 else ""
        click.confirm(f"Delete {told}{several}?", abort=True, err=True)
    server.ask("DELETE", path)
    server.say(f"{told} is deleted", deleted=model, version=version)


@models.command()
@NAME
@VERSION
@click.option(
    "--format",
    "form",
    type=click.Choice(list(FORMS)),
    default=None,
    help="What to write.  [default: by the file's name, else onnx]",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write.  [default: MODEL-VERSION and the form's end]",
)
@asks_server
def export(
    server: Server, model: str, *, version: str, form: str | None, output: Path | None
) -> None:
    """Write a model as ONNX, safetensors, or its card as Markdown."""
    if form is None:
        ends = {end: name for name, end in FORMS.items()}
        form = ends.get(output.suffix.removeprefix(".") if output else "onnx")
    if form is None:
        raise click.BadParameter(f"{output}: say what to write", param_hint="--format")
    path = path_of("models", model, "versions", version)
    number = server.get(path)["version"]
    target = output or Path(f"{model}-{number}.{FORMS[form]}")
    headers = {"Accept": MARKDOWN} if form == "card" else {}
    size = server.download("GET", f"{path}/{form}", target, headers=headers)
    facts = {"model": model, "version": number, "file": str(target), "size_bytes": size}
    server.say(f"{target}: {size:,} bytes", **facts)


@models.command()
@NAME
@click.argument("figure", type=click.Choice(FIGURES), default="boundary")
@VERSION
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write; its name ends in .svg or .png.  [default: the boundary, in the terminal]",
)
@click.option("--x", default=None, help="Of boundary: feature along the horizontal axis.")
@click.option("--y", default=None, help="Of boundary: feature along the vertical axis.")
@click.option("--dark", is_flag=True, help="Light on dark.")
@asks_server
def figure(
    server: Server, model: str, *, figure: str, version: str, output: Path | None, **options: Any
) -> None:
    """Draw what a model answers, its network, its curves or its confusion matrices."""
    path = path_of("models", model, "versions", version)
    axes = {axis: options[axis] for axis in ("x", "y") if options[axis] is not None}
    if output is not None:
        where = f"{path}/figures/{figure}"
        save_figure(server, where, output, is_dark=options["dark"], **axes)
        return
    if figure != "boundary" or axes or options["dark"] or server.as_json:
        raise click.UsageError("-o is needed: the terminal shows a boundary as it is")
    found = server.get(path)
    drawn = region(server, found, found["card"])
    if drawn is None:
        raise click.ClickException(
            "the terminal shows models of two features that are numbers: name a file with -o"
        )
    server.console.print(drawn)
