"""The Open Inference Protocol, version 2: its requests and answers, with Triton's extensions."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, RootModel

from schemas.base import Record

Datatype = Literal[
    "BOOL",
    "UINT8",
    "UINT16",
    "UINT32",
    "UINT64",
    "INT8",
    "INT16",
    "INT32",
    "INT64",
    "FP16",
    "FP32",
    "FP64",
    "BYTES",
]
Shape = tuple[Annotated[int, Field(ge=0)], ...]


class ProtocolBody(Record):
    """What a client sends; other fields are ignored, as the protocol has extensions."""

    model_config = ConfigDict(strict=True, extra="ignore")


class InputParameters(ProtocolBody):
    """How an input tensor comes."""

    binary_data_size: Annotated[int, Field(ge=0)] | None = None
    """Bytes of the tensor behind the JSON object, instead of `data`."""
    shared_memory_region: str | None = None
    """Refused: there is no shared memory."""


class RequestInput(ProtocolBody):
    """An input tensor."""

    name: str
    shape: Shape
    datatype: Datatype
    parameters: InputParameters | None = None
    data: Any = None
    """The values, nested by the shape or flat, last dimension fastest; null or NaN: missing."""


class OutputParameters(ProtocolBody):
    """How an output tensor is to be sent."""

    binary_data: bool | None = None
    """As bytes behind the JSON object; null: as `binary_data_output` says."""
    classification: int | None = None
    """Refused: ask for `probabilities` instead."""
    shared_memory_region: str | None = None
    """Refused: there is no shared memory."""


class RequestedOutput(ProtocolBody):
    """An output tensor to answer with."""

    name: str
    parameters: OutputParameters | None = None


class RequestParameters(ProtocolBody):
    """How to answer."""

    binary_data_output: bool = False
    """Send every output as bytes behind the JSON object."""


class InferenceRequest(ProtocolBody):
    """The JSON object of an inference request."""

    id: str | None = None
    """Comes back in the answer."""
    parameters: RequestParameters | None = None
    inputs: Annotated[tuple[RequestInput, ...], Field(min_length=1, fail_fast=True)]
    outputs: Annotated[tuple[RequestedOutput, ...], Field(fail_fast=True)] | None = None
    """Which outputs to answer with, in this order; null or empty: all."""


class IndexRequest(ProtocolBody):
    """Which models to list."""

    ready: bool = False
    """Only models that are ready; all are."""


class RepositoryRequest(ProtocolBody):
    """What to load or to unload."""

    parameters: dict[str, Any] | None = None
    """`unload_dependents` is ignored: no model depends on another. Others are refused."""


class ResponseOutput(Record):
    """An output tensor."""

    name: str
    datatype: Datatype
    shape: tuple[int, ...]
    parameters: dict[str, int] | None = None
    """`binary_data_size`: bytes of the tensor behind the JSON object, instead of `data`."""
    data: tuple[bool | int | float | str, ...] | None = None
    """The values, flat, last dimension fastest."""


class InferenceResponse(Record):
    """The JSON object of an inference answer."""

    model_name: str
    model_version: str
    id: str | None = None
    outputs: tuple[ResponseOutput, ...]


class ProtocolError(Record):
    """Every error of the protocol."""

    error: str
    """One sentence for the client."""


class ServerMetadata(Record):
    """What the server is and which extensions of the protocol it has."""

    name: str
    version: str
    extensions: tuple[str, ...]


class ServerLive(Record):
    """The server answers."""

    live: bool = True


class ServerReady(Record):
    """The server can answer inference requests."""

    ready: bool = True
    live: bool = True


class ModelReady(Record):
    """The model is in memory and answers."""

    name: str
    ready: bool = True


class TensorMetadata(Record):
    """A tensor that a model takes or gives."""

    name: str
    datatype: Datatype
    shape: tuple[int, ...]
    """−1: any number of rows."""


class ModelMetadata(Record):
    """What a model takes and gives."""

    name: str
    versions: tuple[str, ...]
    """Versions that can be asked for; aliases can be too."""
    platform: str
    inputs: tuple[TensorMetadata, ...]
    outputs: tuple[TensorMetadata, ...]


class TensorConfiguration(Record):
    """A tensor in the words of Triton's model configuration."""

    name: str
    data_type: str
    dims: tuple[int, ...]


class ModelConfiguration(Record):
    """The part of Triton's model configuration that a model here has."""

    name: str
    platform: str
    backend: str
    max_batch_size: int = 0
    """0: `dims` say the number of rows too."""
    input: tuple[TensorConfiguration, ...]
    output: tuple[TensorConfiguration, ...]


class RepositoryModel(Record):
    """One version of a model in the repository."""

    name: str
    version: str
    state: Literal["READY"] = "READY"
    reason: str = ""


class RepositoryIndex(RootModel[tuple[RepositoryModel, ...]]):
    """Every version of every model."""


class Acknowledgement(Record):
    """It is done: an empty object."""


class DurationStatistics(Record):
    """How often something took place, and how long it took in all."""

    count: int = 0
    ns: int = 0


class InferenceStatistics(Record):
    """Where the time of inference requests went."""

    success: DurationStatistics
    fail: DurationStatistics
    queue: DurationStatistics
    """Requests wait in no queue: 0 ns."""
    compute_input: DurationStatistics
    """From the tensors to the network's input."""
    compute_infer: DurationStatistics
    """The network."""
    compute_output: DurationStatistics
    """From the network's output to the answer."""


class VersionStatistics(Record):
    """Statistics of one version since the API was started."""

    name: str
    version: str
    last_inference: int
    """Milliseconds since 1970; 0: never."""
    inference_count: int
    """Rows of the requests that succeeded."""
    execution_count: int
    """Requests that succeeded."""
    inference_stats: InferenceStatistics
    batch_stats: tuple[DurationStatistics, ...] = ()
    """Not kept: any number of rows is one batch."""


class ModelStatistics(Record):
    """Statistics of models."""

    model_stats: tuple[VersionStatistics, ...]
