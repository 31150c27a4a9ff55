"""/predict: ask a model."""

from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import orjson
from flask import Response, abort, request
from flask_openapi3 import Tag
from pydantic import ValidationError

from perceptron import inference
from perceptron.layers import FloatArray
from perceptron.preprocessing import answers, encode_rows
from schemas.errors import InvalidField, NotFound
from schemas.media_types import CSV, JSON, NDJSON, PARQUET
from schemas.prediction import Inputs, PredictQuery, PredictRequest, PredictResponse
from service import batches, problems
from service.context import counts, metrics, model_cache
from service.model_cache import Choice, ReadyModel
from service.openapi import Blueprint, bodies, headers, parameters
from service.openapi import answers as answer_forms
from service.problems import documented
from service.shadowing import ask_shadows
from service.uploads import refuse_query

blueprint = Blueprint(
    "predictions", __name__, abp_tags=[Tag(name="predict", description="Predictions")]
)

TABLES: dict[str, Any] = {
    CSV: {"type": "string"},
    NDJSON: {"type": "string"},
    PARQUET: {"type": "string", "format": "binary"},
}
"""Schemas of rows, and of answers, that are not JSON, for OpenAPI."""


@blueprint.post(
    "/predict",
    responses={200: PredictResponse, **documented(404, 413, 415, 507)},
    openapi_extensions=answer_forms(
        {
            200: {
                **headers(batches.MODEL_VERSION),
                "content": {name: {"schema": schema} for name, schema in TABLES.items()},
            }
        }
    )
    | bodies(PredictRequest, TABLES)
    | parameters(PredictQuery),
)
def predict() -> Response:
    """
    Predict the class of every row, with its probability, or the number of a regression.

    The rows are `inputs` of a JSON body, or a table: CSV, Parquet, NDJSON or a JSON list of
    records, with the model in the query. The answer is in what `Accept` asks for.
    """
    query = _query()
    if query.model is not None or batches.is_table():
        return batches.predict_table(query)
    refuse_query(query)
    body = problems.json_body(PredictRequest)
    choice = _choice(body)
    model = choice.of(request.environ)
    check_work(model, len(body.inputs))
    if batches.answer_type() != JSON:
        answer = batches.predict_inputs(body, model.version)
    else:
        answer = Response(predicted(model, Rows(body.inputs)), content_type=JSON)
        metrics().predicted(len(body.inputs))
    ask_shadows(model, choice.shadows, partial(computed, rows=Rows(body.inputs)), counts())
    return answer


class Rows(NamedTuple):
    """The rows of a request."""

    cells: Inputs
    numbers: npt.NDArray[np.float64] | None = None
    """The same at once, shape (rows, values), where they are known to be numbers throughout."""


def computed(model: ReadyModel, rows: Rows) -> FloatArray:
    """Compute a model's outputs for a request's rows. Raises: InvalidField."""
    return inference.forward(model.layers, encode_rows(model.preprocessing, *rows))


def predicted(model: ReadyModel, rows: Rows) -> bytes:
    """Write what a model says of a request's rows: a PredictResponse. Raises: InvalidField."""
    target = model.preprocessing.target
    found = answers(target, computed(model, rows))
    return orjson.dumps(
        {
            "model": model.name,
            "version": model.version,
            "predictions": found.predictions,
            "probabilities": found.probabilities,
            "classes": target.classes,
        },
        option=orjson.OPT_SERIALIZE_NUMPY,
    )


def _query() -> PredictQuery:
    values: dict[str, Any] = request.args.to_dict()
    if "keep" in values:
        values["keep"] = tuple(request.args.getlist("keep"))
    try:
        return PredictQuery.model_validate(values)
    except ValidationError as error:
        abort(problems.from_validation(error))


def _choice(body: PredictRequest) -> Choice:
    try:
        return model_cache().choice(body.model, body.version)
    except NotFound as error:
        error.at = ("model",) if error.kind == "model" else ("version",)
        raise


def check_work(model: ReadyModel, rows: int) -> None:
    """Refuse rows that would keep the process busy for long. Raises: InvalidField."""
    if rows > model.most_rows:
        raise InvalidField(f"{rows} rows: send at most {model.most_rows} rows at a time", "inputs")
