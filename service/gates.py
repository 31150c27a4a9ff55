"""/gates: truth tables, the slides' perceptrons, and whether a line separates them."""

from flask import Response
from flask_openapi3 import APIBlueprint, Tag

from perceptron import gates
from schemas.base import Record
from schemas.gate import Gate, GateList, GateName
from service.problems import documented
from service.responses import json_response

blueprint = APIBlueprint("gates", __name__, abp_tags=[Tag(name="learn", description="To learn")])


class GatePath(Record):
    """Which gate."""

    name: GateName
    """A gate's name, or a truth table's outputs in counting order, such as `0110`."""


@blueprint.get("/gates", responses={200: GateList, **documented()})
def list_gates() -> Response:
    """List the gates that have names."""
    return json_response(GateList(data=gates.gate_summaries()))


@blueprint.get("/gates/<name>", responses={200: Gate, **documented(404)})
def get_gate(path: GatePath) -> Response:
    """Report a gate's table, its hand-set perceptron, and the line that separates it, if any."""
    return json_response(gates.gate(path.name))
