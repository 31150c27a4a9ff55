"""/backprop: every number of one forward and one backward pass."""

from flask import Response
from flask_openapi3 import Tag

from perceptron.backprop import trace
from schemas.backprop import BackpropRequest, BackpropTrace
from service.openapi import Blueprint, bodies
from service.problems import documented, json_body
from service.responses import json_response

blueprint = Blueprint("backprop", __name__, abp_tags=[Tag(name="learn", description="To learn")])


@blueprint.post(
    "/backprop",
    responses={200: BackpropTrace, **documented(413, 415)},
    openapi_extensions=bodies(BackpropRequest, {}, required=False),
)
def backprop() -> Response:
    """Work out one step by the chain rule; without a body, that of the slides' example."""
    return json_response(trace(json_body(BackpropRequest)))
