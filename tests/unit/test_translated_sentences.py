"""The pages' Korean for the service's sentences, against the sentences that the service has."""

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from pydantic_core import PydanticKnownError

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "web" / "src" / "refusals.ts"
PARTS = ("schemas", "perceptron", "storage", "service", "workers")
PYDANTIC: Mapping[str, dict[str, object]] = {
    "float_type": {},
    "int_type": {},
    "finite_number": {},
    "greater_than": {"gt": 0},
    "greater_than_equal": {"ge": 0},
    "less_than": {"lt": 0},
    "less_than_equal": {"le": 0},
    "string_pattern_mismatch": {"pattern": "x"},
    "string_too_short": {"min_length": 1},
    "string_too_long": {"max_length": 2},
    "too_short": {"field_type": "Array", "min_length": 1, "actual_length": 0},
    "too_long": {"field_type": "Array", "max_length": 2, "actual_length": 3},
    "missing": {},
}
"""Its errors that pages can meet, with what their messages name."""
PLACE = re.compile(r"'?\{\w+\}'?")


def translated() -> list[str]:
    """The English sentences of the pages' table."""
    table = PAGE.read_text(encoding="utf-8").partition("= [\n")[2].partition("\n];")[0]
    return re.findall(r'^  \["(.*?)", "', table, re.MULTILINE)


def said() -> Iterator[str]:
    """What the service's code can say: its texts, docstrings, and pydantic's messages."""
    for part in PARTS:
        for path in (ROOT / part).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield node.value
    for kind, context in PYDANTIC.items():
        yield PydanticKnownError(kind, context).message()  # type: ignore[arg-type]


def words(text: str) -> str:
    """A text's words, with one blank between."""
    return " ".join(re.findall(r"[^\s.,:;()]+", text))


SAID = "\n".join(f" {words(text)} " for text in said())
COMPOSED: Mapping[str, int] = {
    "the table cannot be read as": 1,
    "the column '{name}' cannot be": 3,
    "there is no ": 1,
    "'{name}' has {classes} classes": 1,
    "row {row}: the target": 1,
    "String should match pattern": 3,
}
"""Starts of sentences that have more places in the code than here: `there is no {kind} {name}`."""


def runs(sentence: str) -> int:
    """Count the pieces of the service's texts that the sentence is made of, the longest first."""
    count = 0
    for part in PLACE.split(sentence):
        left = words(part).split()
        while left:
            known = (n for n in range(len(left), 0, -1) if f" {' '.join(left[:n])} " in SAID)
            left = left[next(known, 1) :]
            count += 1
    return count


@pytest.mark.parametrize("sentence", translated())
def test_a_translated_sentence_is_the_service_s(sentence: str) -> None:
    """Each piece between places stands in the code: who changes one there, changes it here."""
    pieces = sum(bool(words(piece)) for piece in PLACE.split(sentence))
    more = sum(count for start, count in COMPOSED.items() if sentence.startswith(start))
    assert runs(sentence) <= pieces + more


def test_another_sentence_is_noticed() -> None:
    """One other word makes another sentence."""
    assert runs("the table is empty") == 1
    assert runs("the table is void") > 1
