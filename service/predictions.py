"""/predict: ask a model."""

from collections.abc import Mapping, Sequence

import numpy as np
from flask import Response
from flask_openapi3 import APIBlueprint, Tag

from perceptron import inference
from perceptron.layers import Layers, parameter_counts
from schemas.errors import InvalidField, NotFound
from schemas.prediction import PredictRequest, PredictResponse
from service.context import model_cache, storage
from service.model_cache import ReadyModel
from service.problems import documented
from service.responses import json_response

blueprint = APIBlueprint(
    "predictions", __name__, abp_tags=[Tag(name="predict", description="Predictions")]
)

MAX_WORK = 12_500_000_000
"""Most multiplications of one request: about a second's."""
ACTIVATION_WORK = 250
"""Multiplications that take as long as one activation."""


@blueprint.post("/predict", responses={200: PredictResponse, **documented(404, 413, 415)})
def predict(body: PredictRequest) -> Response:
    """Predict the class of every row, with its probability."""
    model = _model(body)
    check_work(model.layers, len(body.inputs))
    rows = rows_in_order(model, body.inputs)
    probabilities = inference.forward(model.layers, np.array(rows))
    return json_response(
        PredictResponse(
            model=model.name,
            version=model.version,
            predictions=tuple(inference.predictions(probabilities).tolist()),
            probabilities=tuple(probabilities.tolist()),
        )
    )


def _model(body: PredictRequest) -> ReadyModel:
    try:
        return model_cache().get(storage().models, body.model, body.version)
    except NotFound as error:
        error.at = ("model",) if error.kind == "model" else ("version",)
        raise


def check_work(layers: Layers, rows: int) -> None:
    """Refuse rows that would keep the process busy for long. Raises: InvalidField."""
    counts = parameter_counts(layers)
    most = max(1, MAX_WORK // (counts.weights + ACTIVATION_WORK * counts.biases))
    if rows > most:
        raise InvalidField(f"{rows} rows: send at most {most} rows at a time", "inputs")


def rows_in_order(
    model: ReadyModel, inputs: Sequence[Sequence[float] | Mapping[str, float]]
) -> Sequence[Sequence[float]]:
    """Bring rows or records into the order of the model's features. Raises: InvalidField."""
    names, known = model.feature_names, frozenset(model.feature_names)
    return [
        _from_record(row, names, known, index)
        if isinstance(row, Mapping)
        else _checked(row, names, index)
        for index, row in enumerate(inputs)
    ]


def _checked(row: Sequence[float], names: Sequence[str], index: int) -> Sequence[float]:
    if len(row) != len(names):
        raise InvalidField(
            f"{len(row)} values for the {len(names)} features {', '.join(names)}", "inputs", index
        )
    return row


def _from_record(
    record: Mapping[str, float], names: Sequence[str], known: frozenset[str], index: int
) -> list[float]:
    if record.keys() == known:
        return [record[name] for name in names]
    for name in record:
        if name not in known:
            raise InvalidField(f"the model has no feature {name!r}", "inputs", index, name)
    missing = next(name for name in names if name not in record)
    raise InvalidField(f"the feature {missing!r} is missing", "inputs", index, missing)
