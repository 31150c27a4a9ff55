"""/predict: ask a model."""

from flask import Response
from flask_openapi3 import APIBlueprint, Tag

from perceptron import inference
from perceptron.layers import Layers, parameter_counts
from perceptron.preprocessing import answers, encode_rows
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
    """Predict the class of every row, with its probability, or the number of a regression."""
    model = _model(body)
    check_work(model.layers, len(body.inputs))
    rows = encode_rows(model.preprocessing, body.inputs)
    found = answers(model.preprocessing.target, inference.forward(model.layers, rows))
    return json_response(
        PredictResponse(
            model=model.name,
            version=model.version,
            predictions=found.predictions,
            probabilities=found.probabilities,
            classes=model.preprocessing.target.classes,
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
