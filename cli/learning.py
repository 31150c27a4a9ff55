"""`perceptron gates` and `perceptron backprop`: what one can work out by hand."""

import json
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from cli.server import Server, asks_server, complete_gate, path_of
from cli.tables import Column, listed, table


@click.command()
@click.argument("gate", required=False, shell_complete=complete_gate)
@asks_server
def gates(server: Server, gate: str | None) -> None:
    """
    List logic gates, or show one and its line.

    GATE is a name, or the gate's outputs in counting order: 0110 is XOR.
    """
    found = server.items("/gates", 100) if gate is None else server.get(path_of("gates", gate))
    if server.as_json:
        server.show_json(found)
    elif gate is None:
        columns = (
            Column("!gate", lambda item: item["name"]),
            Column("!>inputs", lambda item: str(item["inputs"]), 1),
            Column("what it is", lambda item: item["description"], 2),
        )
        listed(server.console, found, "gates", columns)
    else:
        _show_gate(server.console, found)


def _show_gate(console: Console, gate: dict[str, Any]) -> None:
    console.print(Text.assemble((gate["name"], "bold"), f": {gate['description']}"))
    made = table(*(f">x{place + 1}" for place in range(gate["inputs"])), ">output")
    for row in gate["truth_table"]:
        output = Text(str(row["output"]), "bold blue" if row["output"] else "dim")
        made.add_row(*map(str, row["inputs"]), output)
    console.print(made)
    found = gate["separability"]
    if found["line"]:
        kind = "line" if gate["inputs"] == 2 else "plane"
        console.print(f"One perceptron can: this {kind} separates 0 from 1.")
        console.print(f"  {found['line']['equation']}")
    elif found["proof"]:
        _show_proof(console, found["proof"])
    for place, layer in enumerate(gate["perceptron"] or ()):
        source = "h" if place else "x"
        units = ", ".join(
            _unit(weights, bias, source)
            for weights, bias in zip(layer["weight"], layer["bias"], strict=True)
        )
        console.print(f"  layer {place + 1}, set by hand: {units}")


def _unit(weights: list[float], bias: float, source: str) -> str:
    """Write a unit, such as step(+0.5·x1 +0.5·x2 -0.7)."""
    terms = " ".join(f"{weight:+g}·{source}{place}" for place, weight in enumerate(weights, 1))
    return f"step({terms} {bias:+g})"


def _show_proof(console: Console, proof: dict[str, Any]) -> None:
    point = ", ".join(f"{value:g}" for value in proof["point"])
    console.print("One perceptron cannot: no straight line separates 0 from 1.")
    for name, rows in (("0", proof["zeros"]), ("1", proof["ones"])):
        mean = " + ".join(
            f"{row['weight']:g}·({', '.join(f'{value:g}' for value in row['inputs'])})"
            for row in rows
        )
        console.print(f"  rows of class {name}: {mean} = ({point})")
    console.print("  The point would have to lie on both sides. A hidden layer is needed.")


def _numbers(_: click.Context, __: click.Parameter, text: str | None) -> list[float] | None:
    if text is None:
        return None
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise click.BadParameter(f"{text!r} is no list of numbers such as 0.1,0.2") from None


@click.command()
@click.option("--inputs", callback=_numbers, metavar="NUMBERS", help="One row, by comma.")
@click.option("--targets", callback=_numbers, metavar="NUMBERS", help="One number per output.")
@click.option("--learning-rate", type=float, help="Step size.")
@click.option(
    "--layers",
    "layers",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File with the layers as JSON: a list of weights, biases, activation.",
)
@click.option(
    "--steps",
    type=click.IntRange(1, 1000),
    default=1,
    show_default=True,
    help="Steps to take; the last one is shown.",
)
@asks_server
def backprop(server: Server, *, layers: Path | None, steps: int, **options: Any) -> None:
    """Work out one step of backpropagation by hand; without options, the slides' example."""
    body = {name: value for name, value in options.items() if value is not None}
    if layers is not None:
        body["layers"] = _read(layers)
    losses = []
    for _ in range(steps):
        step = server.post("/backprop", body)
        losses.append(step["loss"]["total"])
        body["layers"] = step["after_layers"]
    if server.as_json:
        server.show_json(step)
        return
    if steps > 1:
        told = f"{losses[0]:.8f} → {step['after']['total']:.8f}"
        server.console.print(f"{steps} steps took the loss from {told}. The last step:\n")
    _show_step(server.console, step)


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise click.BadParameter(f"{path} is not JSON: {error}", param_hint="--layers") from None


def _show_step(console: Console, step: dict[str, Any]) -> None:
    _say(console, "1. Forward", ": weighted sums z, then activations")
    made = table("layer", "z", ">value", "output", ">value")
    for number, layer in enumerate(step["forward"], 1):
        for z, output in zip(layer["z"], layer["outputs"], strict=True):
            values = (f"{z['value']:.8f}", output["name"], f"{output['value']:.8f}")
            made.add_row(str(number), z["name"], *values)
    console.print(made)
    terms = " + ".join(f"{term['value']:.8f}" for term in step["loss"]["terms"])
    _say(console, "2. Loss", f": E = Σ ½ (target − output)² = {terms}")
    console.print(f"                                = {step['loss']['total']:.8f}\n")
    rate = step["learning_rate"]
    _say(console, "3. Backward", ": the chain rule from the output to each weight")
    for unit in step["hidden_gradients"]:
        terms = " + ".join(f"{term['value']:.8f}" for term in unit["terms"])
        console.print(f"  {unit['name']} = {terms} = {unit['value']:.8f}")
    made = table("", ">value", "gradient: the factors", ">", f">value − {rate:g}·gradient")
    for one in step["parameters"]:
        factors = " · ".join(f"{factor['value']:.6g}" for factor in one["factors"])
        numbers = (f"{one['gradient']:.8f}", Text(f"{one['updated']:.8f}", "bold"))
        made.add_row(one["name"], f"{one['value']:g}", factors, *numbers)
    console.print(made)
    _say(console, "4. After the step", f": E = {step['after']['total']:.8f}")


def _say(console: Console, title: str, text: str) -> None:
    console.print(Text.assemble((title, "bold"), text))
