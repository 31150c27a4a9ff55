"""What the process that writes a model as ONNX does: from its stored form to the file's bytes."""

from schemas.base import Record
from schemas.preprocessing import Preprocessing


class ExportingRequest(Record):
    """A model to write; its weights follow."""

    name: str
    version: int
    preprocessing: Preprocessing

    def with_weights(self, weights: bytes) -> bytes:
        """Give the request as bytes: one line of JSON, then the weights as they are stored."""
        return self.model_dump_json().encode() + b"\n" + weights


def work(request: bytes) -> bytes:
    """Write the model as ONNX. Raises: CorruptModel."""
    # 7 MB that the API goes without
    from perceptron.export import to_onnx  # noqa: PLC0415
    from perceptron.layers import from_bytes  # noqa: PLC0415

    line, _, weights = request.partition(b"\n")
    asked = ExportingRequest.model_validate_json(line)
    return to_onnx(asked.preprocessing, from_bytes(weights), asked.name, asked.version)
