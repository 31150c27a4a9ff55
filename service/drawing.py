"""What the process that draws a figure does: from its data to the bytes of SVG or PNG."""

from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Discriminator

from schemas.base import Record
from schemas.figure import FigureFormat, Scale, Theme
from schemas.preprocessing import Label, Preprocessing
from schemas.training import EpochRecord, Evaluation, Language, TrainingConfig

if TYPE_CHECKING:
    from perceptron.figures.style import Look


class CurvesDrawing(Record):
    """Learning curves."""

    kind: Literal["curves"] = "curves"
    history: tuple[EpochRecord, ...]
    kept: int | None
    """The epoch whose weights early stopping kept."""
    scale: Scale


class JudgedPart(Record):
    """Rows of one part, and how good the predictions for them are."""

    name: str
    evaluation: Evaluation


class ConfusionDrawing(Record):
    """Confusion matrices."""

    kind: Literal["confusion"] = "confusion"
    parts: tuple[JudgedPart, ...]
    classes: tuple[Label, ...]
    """Of a binary task."""


class NetworkDrawing(Record):
    """Units and weights."""

    kind: Literal["network"] = "network"
    preprocessing: Preprocessing


class BoundaryDrawing(Record):
    """Answers over two features, or over the only one."""

    kind: Literal["boundary"] = "boundary"
    preprocessing: Preprocessing
    x: str
    y: str | None
    training: TrainingConfig | None
    """How the table's rows were divided."""


Drawing = Annotated[
    CurvesDrawing | ConfusionDrawing | NetworkDrawing | BoundaryDrawing, Discriminator("kind")
]


class DrawingRequest(Record):
    """A figure to draw; a model's weights and a table's rows follow where there are any."""

    drawing: Drawing
    name: str
    """Of the model, for the title; with its version, or the status of a job that has none."""
    version: int | None = None
    status: str | None = None
    format: FigureFormat
    theme: Theme
    language: Language = "en"

    def with_data(self, weights: bytes, rows: bytes) -> bytes:
        """Give the request as bytes: a line of JSON, one with the weights' size, and the data."""
        return b"%b\n%d\n%b%b" % (self.model_dump_json().encode(), len(weights), weights, rows)

    @classmethod
    def read(cls, request: bytes) -> tuple[Self, bytes, bytes]:
        """Take apart what `with_data` gave: the request, the weights and the rows."""
        line, size, data = request.split(b"\n", 2)
        return cls.model_validate_json(line), data[: int(size)], data[int(size) :]


def work(request: bytes) -> bytes:
    """Draw the figure. Raises: CorruptModel; InvalidField where the rows cannot be divided."""
    # 30 MB that the API goes without, here and below
    from perceptron.figures.style import drawing, written  # noqa: PLC0415

    asked, weights, rows = DrawingRequest.read(request)
    with drawing(asked.theme, asked.language, asked.format) as look:
        title = look.words.title(asked.name, asked.version, asked.status)
        figure = _drawn(asked, weights, rows, look, title)
        return written(figure, asked.format, title)


def _drawn(asked: DrawingRequest, weights: bytes, rows: bytes, look: "Look", title: str) -> Any:
    from perceptron.figures.confusion import Judged, confusion  # noqa: PLC0415
    from perceptron.figures.curves import curves  # noqa: PLC0415

    wanted = asked.drawing
    if isinstance(wanted, CurvesDrawing):
        return curves(wanted.history, wanted.kept, wanted.scale, look, title)
    if isinstance(wanted, ConfusionDrawing):
        parts = [Judged(part.name, part.evaluation) for part in wanted.parts]
        return confusion(parts, wanted.classes, look, title)
    return _of_model(wanted, weights, rows, look, title)


def _of_model(
    wanted: NetworkDrawing | BoundaryDrawing, weights: bytes, rows: bytes, look: "Look", title: str
) -> Any:
    from perceptron.figures.boundary import boundary  # noqa: PLC0415
    from perceptron.figures.network import network  # noqa: PLC0415
    from perceptron.frames import Frame  # noqa: PLC0415
    from perceptron.layers import from_bytes  # noqa: PLC0415
    from perceptron.regions import Rows, region  # noqa: PLC0415

    layers = from_bytes(weights)
    if isinstance(wanted, NetworkDrawing):
        return network(wanted.preprocessing, layers, look, title)
    known = Rows(Frame.from_bytes(rows), wanted.training) if rows else None
    found = region(wanted.preprocessing, layers, (wanted.x, wanted.y), known)
    return boundary(found, look, title)
