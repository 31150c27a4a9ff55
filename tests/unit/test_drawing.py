"""The process that draws: the same request makes the same bytes, in whatever process."""

import os
from pathlib import Path

import pytest
from matplotlib import font_manager

from perceptron import datasets, layers
from perceptron.figures import style
from perceptron.figures.words import ENGLISH, KOREAN
from perceptron.gates import BUILT_IN_MODELS
from schemas.errors import CorruptModel
from schemas.figure import FigureFormat
from schemas.job import JobStatus
from schemas.preprocessing import numbers_as_they_are
from schemas.training import EpochRecord, Language
from service import apart
from service.drawing import BoundaryDrawing, CurvesDrawing, DrawingRequest, NetworkDrawing, work
from service.figures import LIMITS

HISTORY = tuple(
    EpochRecord(epoch=epoch, train_loss=1 / (1 + epoch), valid_loss=0.1 + (epoch - 7) ** 2)
    for epoch in range(20)
)
GATE = numbers_as_they_are(("x1", "x2"))
WEIGHTS = layers.to_bytes(BUILT_IN_MODELS["xor"])
SOURCE = datasets.in_request("xor")
assert SOURCE is not None
ROWS = SOURCE.frame.to_bytes()

DRAWINGS: dict[str, tuple[CurvesDrawing | NetworkDrawing | BoundaryDrawing, bytes, bytes]] = {
    "curves": (CurvesDrawing(history=HISTORY, kept=None, scale="log"), b"", b""),
    "network": (NetworkDrawing(preprocessing=GATE), WEIGHTS, b""),
    "boundary": (
        BoundaryDrawing(preprocessing=GATE, x="x1", y="x2", training=None),
        WEIGHTS,
        ROWS,
    ),
}


@pytest.mark.parametrize("form", ["svg", "png"])
@pytest.mark.parametrize("kind", DRAWINGS)
def test_figures_are_the_same_each_time(
    kind: str, form: FigureFormat, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the time, nor the order of sets, nor the user's settings change a byte."""
    drawing, weights, rows = DRAWINGS[kind]
    asked = DrawingRequest(drawing=drawing, name="a title", format=form, theme="light")
    made = set()
    for seed in ("1", "2"):
        monkeypatch.setenv("PYTHONHASHSEED", seed)
        made.add(apart.run("service.drawing", asked.with_data(weights, rows), LIMITS))
    assert len(made) == 1


def test_requests_come_apart_as_they_were_put_together() -> None:
    """Weights and rows are any bytes, line breaks and nothing among them."""
    asked = DrawingRequest(
        drawing=NetworkDrawing(preprocessing=GATE), name="ä\nb", format="svg", theme="dark"
    )
    for weights, rows in ((b"\n1\n", b"\n\n"), (b"", b"\n2\n"), (b"x", b"")):
        assert DrawingRequest.read(asked.with_data(weights, rows)) == (asked, weights, rows)


def test_damaged_weights_are_told() -> None:
    """Weights that are none are a corrupt model, not a fault."""
    asked = DrawingRequest(
        drawing=NetworkDrawing(preprocessing=GATE), name="", format="svg", theme="light"
    )
    with pytest.raises(CorruptModel):
        apart.run("service.drawing", asked.with_data(WEIGHTS[:-5], b""), LIMITS)


def _drawn_with(name: str) -> bytes:
    preprocessing = numbers_as_they_are((name, "x2"))
    asked = DrawingRequest(
        drawing=NetworkDrawing(preprocessing=preprocessing), name=name, format="png", theme="light"
    )
    return work(asked.with_data(WEIGHTS, b""))


def test_korean_names_in_a_png(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each letter has a form of its own, also in a font that Matplotlib's stored list lacks."""
    if not style.hangul_font():
        no_font = pytest.fail if os.environ.get("CI") else pytest.skip
        no_font("no font with Hangul here: apt-get install fonts-nanum")
    listed = font_manager.fontManager.ttflist
    before = [font for font in listed if Path(font.fname).stem not in style.HANGUL_FONTS]
    monkeypatch.setattr(font_manager.fontManager, "ttflist", before)
    assert _drawn_with("키 몸무게") != _drawn_with("나 이제돈")


def test_korean_names_without_a_font(monkeypatch: pytest.MonkeyPatch) -> None:
    """A figure is drawn all the same, with a box for each letter."""
    monkeypatch.setattr(style, "HANGUL_FONTS", ())
    drawn = _drawn_with("키 몸무게")
    assert drawn == _drawn_with("나 이제돈")
    assert drawn != _drawn_with("키 몸")


@pytest.mark.parametrize("kind", DRAWINGS)
@pytest.mark.parametrize("form", ["svg", "png"])
def test_words_are_in_the_language_where_it_can_be_written(
    kind: str, form: FigureFormat, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A PNG without a font is the English one, not boxes; an SVG has the viewer's fonts."""
    drawing, weights, rows = DRAWINGS[kind]

    def drawn(language: Language) -> bytes:
        asked = DrawingRequest(
            drawing=drawing, name="m", version=2, format=form, theme="light", language=language
        )
        return work(asked.with_data(weights, rows))

    if form == "svg" or style.hangul_font():
        assert drawn("ko") != drawn("en")
    monkeypatch.setattr(style, "HANGUL_FONTS", ())
    assert (drawn("ko") == drawn("en")) == (form == "png")


def test_every_word_has_its_places_in_each_language() -> None:
    """What a sentence is told about, its translation says, too."""

    def places(text: object) -> int:
        return text.count("{") if isinstance(text, str) else 0

    for english, korean in zip(ENGLISH, KOREAN, strict=True):
        assert places(english) == places(korean)
    assert set(KOREAN.states) == {status.value for status in JobStatus}
    assert KOREAN.title("m", None, "failed") == "m, 실패"
    assert ENGLISH.title("m", None, "failed") == "m, failed"
