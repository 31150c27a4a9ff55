"""What the process that writes a job's predictions does: from stored outputs to a file."""

from pathlib import Path

from schemas.base import Record
from schemas.preprocessing import Target
from service.predicting import write_answers


class WritingRequest(Record):
    """Outputs of a network to tell, and where to put the file."""

    model: str
    version: int
    target: Target
    source: Path
    """The outputs as numbers, one row after the other."""
    dtype: str
    """Of these numbers, as NumPy names it."""
    destination: Path
    media_type: str
    """Of the file."""


def work(request: bytes) -> bytes:
    """Write the answers into the destination; answers with nothing."""
    # Here alone: the API, which imports this module, goes without Polars.
    import numpy as np  # noqa: PLC0415

    from perceptron.answering import Answered  # noqa: PLC0415

    asked = WritingRequest.model_validate_json(request)
    outputs = np.fromfile(asked.source, asked.dtype)
    if asked.target.task == "multiclass":
        outputs = outputs.reshape(-1, asked.target.outputs)  # (rows, classes)
    answered = Answered(asked.model, asked.version, asked.target, outputs)
    write_answers(answered, asked.destination, asked.media_type)
    return b""
