"""What the process that writes a model as ONNX does: from its stored form to the file's bytes."""

from typing import Self

from schemas.base import Record
from schemas.preprocessing import Preprocessing


class ModelRequest(Record):
    """A model to work with apart; its weights follow."""

    name: str
    version: int
    preprocessing: Preprocessing

    def with_weights(self, weights: bytes) -> bytes:
        """Give the request as bytes: one line of JSON, then the weights as they are stored."""
        return self.model_dump_json().encode() + b"\n" + weights

    @classmethod
    def read(cls, request: bytes) -> tuple[Self, bytes]:
        """Take apart what `with_weights` gave: the request, and the weights."""
        line, _, weights = request.partition(b"\n")
        return cls.model_validate_json(line), weights


def work(request: bytes) -> bytes:
    """Write the model as ONNX. Raises: CorruptModel."""
    # 7 MB that the API goes without
    from perceptron.export import to_onnx  # noqa: PLC0415
    from perceptron.layers import from_bytes  # noqa: PLC0415

    asked, weights = ModelRequest.read(request)
    return to_onnx(asked.preprocessing, from_bytes(weights), asked.name, asked.version)
