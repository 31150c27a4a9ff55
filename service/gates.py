"""/gates: truth tables, the slides' perceptrons, and whether a line separates them."""

from flask import Response
from flask_openapi3 import Tag

from perceptron import gates
from schemas.base import Record
from schemas.gate import Gate, GateName, GatePage
from schemas.page import PageQuery
from service.openapi import Blueprint, answers, headers
from service.problems import documented
from service.responses import json_response, page_response

blueprint = Blueprint("gates", __name__, abp_tags=[Tag(name="learn", description="To learn")])


class GatePath(Record):
    """Which gate."""

    name: GateName
    """A gate's name, or a truth table's outputs in counting order, such as `0110`."""


@blueprint.get(
    "/gates",
    responses={200: GatePage, **documented()},
    openapi_extensions=answers({200: headers("Link")}),
)
def list_gates(query: PageQuery) -> Response:
    """List the gates that have names, by name."""
    summaries = {summary.name: summary for summary in gates.gate_summaries()}
    names, has_more = query.choose(summaries)
    found = [summaries[name] for name in names]
    return page_response(GatePage.of(found, lambda gate: gate.name, has_more=has_more))


@blueprint.get("/gates/<name>", responses={200: Gate, **documented(404)})
def get_gate(path: GatePath) -> Response:
    """Report a gate's table, its hand-set perceptron, and the line that separates it, if any."""
    return json_response(gates.gate(path.name))
