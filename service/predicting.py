"""What the process that predicts a table does: from a file of rows to a file of answers."""

import json
import resource
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from schemas.dataset import ColumnKind, DatasetOptions
from schemas.errors import InvalidField
from schemas.media_types import CSV
from schemas.preprocessing import CategoricalFeature, NumericFeature
from service.charsets import UTF_8
from service.exporting import ModelRequest

if TYPE_CHECKING:
    from perceptron.answering import Answered
    from perceptron.frames import Column
    from perceptron.layers import FloatArray

INPUTS = "inputs"
"""In a media type's place: the `inputs` of a PredictRequest."""
MOST_ANSWER_BYTES = 2**30
"""Largest file of answers: long names and texts may repeat in every row."""


class PredictingRequest(ModelRequest):
    """Rows to predict with a model, and where to put the answers."""

    source: Path
    media_type: str
    """Of the source."""
    charset: str = UTF_8
    """Of a source that is CSV, as Python names it."""
    destination: Path
    answer_type: str
    """Media type of the answers."""
    keep: tuple[str, ...] = ()
    """Columns of the table to repeat before the answers."""
    most_rows: int
    most_columns: int
    most_bytes: int


def work(request: bytes) -> bytes:
    """
    Predict every row and write the answers into the destination; answers with the number of rows.

    Raises: InvalidField, which points at a column of the table, or into `inputs`; CorruptModel.
    """
    from perceptron.answering import Answered  # noqa: PLC0415  # as below

    asked, weights = PredictingRequest.read(request)
    found, kept = outputs(asked, weights)
    answered = Answered(asked.name, asked.version, asked.preprocessing.target, found, kept)
    write_answers(answered, asked.destination, asked.answer_type)
    return str(len(found)).encode()


# Here alone: the API, which imports this module, goes without Polars.


def outputs(asked: PredictingRequest, weights: bytes) -> "tuple[FloatArray, Sequence[Column]]":
    """
    Compute the network's outputs for every row; returns them and the columns to repeat.

    Raises: as `work`.
    """
    if asked.media_type == INPUTS:
        return _outputs_for_inputs(asked, weights), ()
    return _outputs_for_table(asked, weights)


def _outputs_for_inputs(asked: PredictingRequest, weights: bytes) -> "FloatArray":
    from perceptron import inference  # noqa: PLC0415
    from perceptron.layers import from_bytes  # noqa: PLC0415
    from perceptron.preprocessing import encode_rows  # noqa: PLC0415

    rows = encode_rows(asked.preprocessing, json.loads(asked.source.read_bytes()))
    return inference.forward(from_bytes(weights), rows)


def _outputs_for_table(
    asked: PredictingRequest, weights: bytes
) -> "tuple[FloatArray, Sequence[Column]]":
    import numpy as np  # noqa: PLC0415

    from perceptron import batches  # noqa: PLC0415
    from perceptron.layers import from_bytes  # noqa: PLC0415
    from perceptron.parsing import Limits, parse  # noqa: PLC0415

    preprocessing = asked.preprocessing
    needed = tuple(dict.fromkeys((*preprocessing.feature_names, *asked.keep)))
    limits = Limits(asked.most_rows, asked.most_columns, asked.most_bytes, needed)
    try:
        frame = parse(asked.source, asked.media_type, _options(asked), limits, asked.charset)
    except InvalidField as error:
        raise _pointed(error, asked) from error
    batches.check_size(preprocessing.target, frame.rows)
    kept = [frame.column(name) for name in asked.keep]
    rows = batches.usable(preprocessing, frame, are_numbers_texts=asked.media_type == CSV)
    found = np.concatenate(list(batches.outputs(preprocessing, from_bytes(weights), rows)))
    return found, kept


def write_answers(answered: "Answered", destination: Path, media_type: str) -> None:
    """Write a file of answers that is not too large. Raises: InvalidField."""
    from polars.exceptions import PolarsError  # noqa: PLC0415

    from perceptron.answering import write  # noqa: PLC0415

    resource.setrlimit(resource.RLIMIT_FSIZE, (MOST_ANSWER_BYTES, MOST_ANSWER_BYTES))
    try:
        write(answered, destination, media_type)
    except (OSError, PolarsError) as error:
        if destination.stat().st_size < MOST_ANSWER_BYTES:
            raise
        detail = f"the answer has more than {MOST_ANSWER_BYTES} bytes: send fewer rows"
        raise InvalidField(detail) from error


def _options(asked: PredictingRequest) -> DatasetOptions:
    """Say which columns are categories, and in CSV also which are to come back as they stand."""
    features = asked.preprocessing.features
    numeric = {feature.name for feature in features if isinstance(feature, NumericFeature)}
    kept = set(asked.keep) - numeric if asked.media_type == CSV else ()
    kinds: dict[str, ColumnKind] = dict.fromkeys(kept, "text")
    for feature in features:
        if isinstance(feature, CategoricalFeature):
            kinds[feature.name] = "categorical"
    return DatasetOptions(name="rows", columns=kinds)


def _pointed(error: InvalidField, asked: PredictingRequest) -> InvalidField:
    """Point at what the fields of an upload stand for: the body, a column of it, or the query."""
    field, *rest = error.at or ("file",)
    if field == "file":
        return InvalidField(error.detail)
    name = str(rest[0])
    if name in asked.preprocessing.feature_names:
        missing = error.detail.startswith("there is no column")
        detail = f"the feature {name!r} is missing: no column has that name"
        return InvalidField(detail if missing else error.detail, name)
    return InvalidField(error.detail, parameter="keep")
