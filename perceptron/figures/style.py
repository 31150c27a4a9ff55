"""What all figures look like, and how they are written."""

import io
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from perceptron.figures.words import ENGLISH, WORDS, Words
from schemas.figure import FigureFormat, Theme
from schemas.training import Language

PNG_DOTS_PER_INCH = 160
HANGUL_FONTS = ("NotoSansCJK-Regular", "NanumGothic", "NanumBarunGothic", "malgun", "UnDotum")
"""
Files of fonts with what DejaVu Sans lacks; the first that is installed is used. SVG needs none, and
where a PNG has none, a box stands for each letter.
"""
MOST_LETTERS = 26
"""Longest name that is written out."""
TITLE_POINTS, TITLE_LETTERS = 11.0, 56
"""Size of a title, and how many letters of that size a figure has room for."""
LETTER_INCHES = 0.085
"""About the width of a letter of the title."""
LEGEND_LETTERS = 66
"""Letters that a row of a legend has room for."""


class Look(NamedTuple):
    """Colours of a theme, and words of a language."""

    ground: str
    ink: str
    faint: str
    negative: str
    """Of negative weights, and the first class."""
    positive: str
    """Of positive weights, the second class, and training."""
    validation: str
    words: Words = ENGLISH


LOOKS: Mapping[Theme, Look] = {
    "light": Look("#ffffff", "#202124", "#c8ccd1", "#e8710a", "#1a73c8", "#c2185b"),
    "dark": Look("#16181d", "#e8eaed", "#4a4f57", "#ff9a4d", "#5ca8f5", "#ff79a8"),
}


@contextmanager
def drawing(theme: Theme, language: Language = "en", form: FigureFormat = "svg") -> Iterator[Look]:
    """
    Draw in the colours of a theme, whatever Matplotlib was set to.

    A PNG is in English where no font writes the language.
    """
    hangul = hangul_font()
    is_written = form == "svg" or hangul
    look = LOOKS[theme]._replace(words=WORDS[language] if is_written else ENGLISH)
    own: dict[Any, Any] = {
        "font.family": ["DejaVu Sans", *hangul],
        "font.size": 10,
        "text.parse_math": False,  # a feature may be called $x$
        "svg.fonttype": "none",
        "svg.hashsalt": "perceptron",
        "axes.titlesize": 11,
        "axes.titlelocation": "left",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "grid.linewidth": 0.6,
        "legend.frameon": False,
        "figure.constrained_layout.h_pad": 0.08,
        "figure.constrained_layout.w_pad": 0.1,
        "figure.facecolor": look.ground,
        "axes.facecolor": look.ground,
        "savefig.facecolor": look.ground,
        "text.color": look.ink,
        "axes.labelcolor": look.ink,
        "axes.edgecolor": look.ink,
        "axes.titlecolor": look.ink,
        "xtick.color": look.ink,
        "ytick.color": look.ink,
        "grid.color": look.faint,
    }
    with mpl.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        mpl.rcdefaults()
        mpl.rcParams.update(own)
        yield look


def hangul_font() -> Sequence[str]:
    """
    Name the font that writes Hangul, where there is one.

    Its file is looked for: Matplotlib lists the fonts once, and knows none that came later.
    """
    known = {Path(font.fname).stem: font.name for font in font_manager.fontManager.ttflist}
    installed = {Path(path).stem: path for path in font_manager.findSystemFonts()}
    for name in HANGUL_FONTS:
        if name in installed and name not in known:
            font_manager.fontManager.addfont(installed[name])
            return (font_manager.fontManager.ttflist[-1].name,)
        if name in installed:
            return (known[name],)
    return ()


def written(figure: Figure, form: FigureFormat, title: str) -> bytes:
    """Write a figure as a file."""
    file = io.BytesIO()
    told: Mapping[str, Any] = (
        {"Date": None, "Creator": None, "Title": title} if form == "svg" else {"Software": None}
    )
    figure.savefig(file, format=form, dpi=PNG_DOTS_PER_INCH, metadata=told)
    return file.getvalue()


def title_points(title: str) -> float:
    """Give the size of a title's letters: smaller where it would be wider than the figure."""
    return min(TITLE_POINTS, TITLE_POINTS * TITLE_LETTERS / max(1, len(title)))


def short(text: str) -> str:
    """Cut a long name off."""
    text = " ".join(text.split())
    return text if len(text) <= MOST_LETTERS else text[: MOST_LETTERS - 1] + "…"


def add_legend(figure: Figure, handles: Sequence[Line2D]) -> None:
    """Put a legend below everything, in as many columns as there is room for."""
    if handles:
        longest = max(len(str(handle.get_label())) for handle in handles)
        columns = max(1, min(len(handles), 4, LEGEND_LETTERS // (longest + 6)))
        figure.legend(handles=handles, loc="outside lower center", ncols=columns)
